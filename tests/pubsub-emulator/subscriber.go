package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	// lookEvery is how often an open stream looks for messages.
	lookEvery = 5 * time.Millisecond
	// heldSeconds is the longest lease; a message that is backing off is leased to nobody for as long.
	heldSeconds = 600
	// unlimited stands for no limit of outstanding messages.
	unlimited = 1000
	// mostAtOnce is how many messages one of several streams gets in its turn.
	mostAtOnce = 10
)

// subscriber corrects where Google's in-memory server is not like the service:
//
//   - It counts deliveries per message, over all subscriptions together. Here each subscription counts for
//     itself, and dead-letters by its own count, with the attributes that the service adds.
//   - It has no back-off. Here a message that is given back waits as the retry policy says.
//   - It has no flow control, and gives all to the first stream. Here a stream gets no more than it has room
//     for, and open streams take turns.
//
// What it still does not do: a retry policy has no effect on leases that run out; messages that nobody
// takes are dropped after ten minutes.
type subscriber struct {
	*pstest.GServer
	mutex         sync.Mutex
	subscriptions map[string]*subscription
}

// subscription is what is known about a subscription beyond the in-memory server.
type subscription struct {
	settings *pb.Subscription
	// attempts counts deliveries by message id.
	attempts map[string]int32
	// leases are the messages that streams hold, by ack id.
	leases map[string]*lease
	// streams are the open ones, the one whose turn it is first.
	streams []*stream
	deleted chan struct{}
}

// lease is a message that a stream holds.
type lease struct {
	messageID string
	deadline  time.Time
	stream    *stream
}

// stream is an open StreamingPull.
type stream struct {
	// room is how many more messages it may hold; guarded by the subscriber's mutex.
	room     int
	deadline time.Duration
}

func newSubscriber(server *pstest.GServer) *subscriber {
	return &subscriber{GServer: server, subscriptions: map[string]*subscription{}}
}

func (s *subscriber) CreateSubscription(ctx context.Context, wanted *pb.Subscription) (*pb.Subscription, error) {
	inner := proto.Clone(wanted).(*pb.Subscription)
	inner.DeadLetterPolicy = nil
	if policy := wanted.DeadLetterPolicy; policy != nil {
		if _, err := s.GetTopic(ctx, &pb.GetTopicRequest{Topic: policy.DeadLetterTopic}); err != nil {
			return nil, err
		}
	}
	if inner.AckDeadlineSeconds == 0 {
		// As the service does.
		inner.AckDeadlineSeconds = 10
	}
	created, err := s.GServer.CreateSubscription(ctx, inner)
	if err != nil {
		return nil, err
	}
	settings := proto.Clone(created).(*pb.Subscription)
	settings.DeadLetterPolicy = wanted.DeadLetterPolicy
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.subscriptions[wanted.Name] = &subscription{
		settings: settings,
		attempts: map[string]int32{},
		leases:   map[string]*lease{},
		deleted:  make(chan struct{}),
	}
	return settings, nil
}

func (s *subscriber) GetSubscription(_ context.Context, request *pb.GetSubscriptionRequest) (*pb.Subscription, error) {
	found, err := s.find(request.Subscription)
	if err != nil {
		return nil, err
	}
	return found.settings, nil
}

func (s *subscriber) DeleteSubscription(ctx context.Context, request *pb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	answer, err := s.GServer.DeleteSubscription(ctx, request)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if found := s.subscriptions[request.Subscription]; err == nil && found != nil {
		close(found.deleted)
		delete(s.subscriptions, request.Subscription)
	}
	return answer, err
}

func (s *subscriber) find(name string) (*subscription, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if found := s.subscriptions[name]; found != nil {
		return found, nil
	}
	return nil, status.Errorf(codes.NotFound, "subscription %q", name)
}

func (s *subscriber) Acknowledge(ctx context.Context, request *pb.AcknowledgeRequest) (*emptypb.Empty, error) {
	answer, err := s.GServer.Acknowledge(ctx, request)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if found := s.subscriptions[request.Subscription]; found != nil {
		for _, ackID := range request.AckIds {
			if held := found.end(ackID); held != nil {
				delete(found.attempts, held.messageID)
			}
		}
	}
	return answer, err
}

func (s *subscriber) ModifyAckDeadline(ctx context.Context, request *pb.ModifyAckDeadlineRequest) (*emptypb.Empty, error) {
	found, err := s.find(request.Subscription)
	if err != nil {
		return nil, err
	}
	for _, ackID := range request.AckIds {
		wait := s.modify(found, ackID, request.AckDeadlineSeconds)
		seconds := request.AckDeadlineSeconds
		if wait > 0 {
			seconds = heldSeconds
			time.AfterFunc(wait, func() { s.setDeadline(request.Subscription, ackID, 0) })
		}
		s.setDeadline(request.Subscription, ackID, seconds)
	}
	return &emptypb.Empty{}, nil
}

func (s *subscriber) setDeadline(subscription, ackID string, seconds int32) {
	s.GServer.ModifyAckDeadline(context.Background(), &pb.ModifyAckDeadlineRequest{
		Subscription:       subscription,
		AckIds:             []string{ackID},
		AckDeadlineSeconds: seconds,
	})
}

// modify notes a new deadline, and answers for how long a message that is given back has to wait.
func (s *subscriber) modify(found *subscription, ackID string, seconds int32) time.Duration {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	held := found.leases[ackID]
	if held == nil {
		return 0
	}
	if seconds > 0 {
		held.deadline = time.Now().Add(time.Duration(seconds) * time.Second)
		return 0
	}
	found.end(ackID)
	return found.backoff(found.attempts[held.messageID])
}

// backoff is the delay after so many deliveries: doubling from the least to the most.
func (s *subscription) backoff(attempts int32) time.Duration {
	policy := s.settings.RetryPolicy
	if policy == nil {
		return 0
	}
	most := asDuration(policy.MaximumBackoff, 600*time.Second)
	wait := asDuration(policy.MinimumBackoff, 10*time.Second)
	for ; attempts > 1 && wait < most; attempts-- {
		wait *= 2
	}
	return min(wait, most)
}

func asDuration(given *durationpb.Duration, otherwise time.Duration) time.Duration {
	if given == nil {
		return otherwise
	}
	return given.AsDuration()
}

// end takes a message from the stream that holds it.
func (s *subscription) end(ackID string) *lease {
	held := s.leases[ackID]
	if held != nil {
		held.stream.room++
		delete(s.leases, ackID)
	}
	return held
}

func (s *subscriber) StreamingPull(server pb.Subscriber_StreamingPullServer) error {
	first, err := server.Recv()
	if err != nil {
		return err
	}
	found, err := s.find(first.Subscription)
	if err != nil {
		return err
	}
	// Clients wait for the headers before they take a stream for open.
	if err := server.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	opened := &stream{room: unlimited, deadline: time.Duration(first.StreamAckDeadlineSeconds) * time.Second}
	if limit := int(first.MaxOutstandingMessages); limit > 0 {
		opened.room = limit
	}
	s.mutex.Lock()
	found.streams = append(found.streams, opened)
	s.mutex.Unlock()
	defer s.close(found, opened)
	pings := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go s.listen(server, first.Subscription, pings, ended)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		var response *pb.StreamingPullResponse
		select {
		case <-server.Context().Done():
			return server.Context().Err()
		case <-found.deleted:
			return status.Errorf(codes.NotFound, "subscription %q", first.Subscription)
		case err := <-ended:
			return err
		case <-pings:
			response = &pb.StreamingPullResponse{}
		case <-ticker.C:
			if response, err = s.take(server.Context(), found, opened); err != nil {
				return err
			}
		}
		if response == nil {
			continue
		}
		if err := server.Send(response); err != nil {
			return err
		}
	}
}

// listen answers what the client sends over an open stream.
func (s *subscriber) listen(server pb.Subscriber_StreamingPullServer, name string, pings chan<- struct{}, ended chan<- error) {
	for {
		request, err := server.Recv()
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			ended <- err
			return
		}
		if len(request.AckIds) > 0 {
			s.Acknowledge(server.Context(), &pb.AcknowledgeRequest{Subscription: name, AckIds: request.AckIds})
		}
		for i, ackID := range request.ModifyDeadlineAckIds {
			s.ModifyAckDeadline(server.Context(), &pb.ModifyAckDeadlineRequest{
				Subscription:       name,
				AckIds:             []string{ackID},
				AckDeadlineSeconds: request.ModifyDeadlineSeconds[i],
			})
		}
		select {
		case pings <- struct{}{}:
		default:
		}
	}
}

// take gives a stream what it has room for; nothing when there is nothing.
func (s *subscriber) take(ctx context.Context, found *subscription, opened *stream) (*pb.StreamingPullResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found.expire()
	if opened.room <= 0 || !found.isNext(opened) {
		return nil, nil
	}
	name := found.settings.Name
	most := opened.room
	if len(found.streams) > 1 {
		most = min(most, mostAtOnce)
	}
	pulled, err := s.GServer.Pull(ctx, &pb.PullRequest{
		Subscription:      name,
		MaxMessages:       int32(most),
		ReturnImmediately: true,
	})
	if err != nil {
		return nil, err
	}
	response := &pb.StreamingPullResponse{}
	for _, shared := range pulled.ReceivedMessages {
		message := proto.Clone(shared).(*pb.ReceivedMessage)
		id := message.Message.MessageId
		policy := found.settings.DeadLetterPolicy
		if policy != nil && found.attempts[id] >= policy.MaxDeliveryAttempts {
			s.giveUp(ctx, found, message)
			continue
		}
		found.attempts[id]++
		message.DeliveryAttempt = 0
		if policy != nil {
			message.DeliveryAttempt = found.attempts[id]
		}
		deadline := opened.deadline
		if deadline == 0 {
			deadline = time.Duration(found.settings.AckDeadlineSeconds) * time.Second
		}
		s.setDeadline(name, message.AckId, int32(deadline/time.Second))
		opened.room--
		found.leases[message.AckId] = &lease{messageID: id, deadline: time.Now().Add(deadline), stream: opened}
		response.ReceivedMessages = append(response.ReceivedMessages, message)
	}
	if len(response.ReceivedMessages) == 0 {
		return nil, nil
	}
	found.remove(opened)
	found.streams = append(found.streams, opened)
	return response, nil
}

// isNext says whether no other stream with room has waited for longer.
func (s *subscription) isNext(opened *stream) bool {
	for _, other := range s.streams {
		if other.room > 0 {
			return other == opened
		}
	}
	return false
}

func (s *subscription) remove(closed *stream) {
	s.streams = slices.DeleteFunc(s.streams, func(other *stream) bool { return other == closed })
}

func (s *subscriber) close(found *subscription, closed *stream) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found.remove(closed)
}

// expire makes room for messages whose leases ran out; the in-memory server delivers them again by itself.
func (s *subscription) expire() {
	now := time.Now()
	for ackID, held := range s.leases {
		if now.After(held.deadline) {
			s.end(ackID)
		}
	}
}

// giveUp makes a message a dead letter.
func (s *subscriber) giveUp(ctx context.Context, found *subscription, message *pb.ReceivedMessage) {
	parts := strings.Split(found.settings.Name, "/")
	dead := &pb.PubsubMessage{Data: message.Message.Data, Attributes: map[string]string{
		"CloudPubSubDeadLetterSourceDeliveryCount":       strconv.Itoa(int(found.attempts[message.Message.MessageId])),
		"CloudPubSubDeadLetterSourceSubscription":        parts[len(parts)-1],
		"CloudPubSubDeadLetterSourceSubscriptionProject": parts[1],
		"CloudPubSubDeadLetterSourceTopicPublishTime":    fmt.Sprint(message.Message.PublishTime.AsTime().Format(time.RFC3339Nano)),
	}}
	for name, value := range message.Message.Attributes {
		dead.Attributes[name] = value
	}
	_, err := s.GServer.Publish(ctx, &pb.PublishRequest{
		Topic:    found.settings.DeadLetterPolicy.DeadLetterTopic,
		Messages: []*pb.PubsubMessage{dead},
	})
	if err == nil {
		s.GServer.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: found.settings.Name, AckIds: []string{message.AckId}})
		delete(found.attempts, message.Message.MessageId)
	}
}
