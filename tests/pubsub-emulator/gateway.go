package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// call serves one REST route by one method of the server.
type call func(ctx context.Context, request *http.Request, body []byte) (proto.Message, error)

// gateway serves the administrative routes of Pub/Sub's REST API: those that manage topics and subscriptions.
func gateway(server pb.PublisherServer, subscriber pb.SubscriberServer) http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, serve call) {
		mux.HandleFunc(pattern, func(writer http.ResponseWriter, request *http.Request) {
			body, err := io.ReadAll(request.Body)
			if err == nil {
				var answer proto.Message
				answer, err = serve(request.Context(), request, body)
				if err == nil {
					writeMessage(writer, answer)
					return
				}
			}
			writeError(writer, err)
		})
	}

	route("PUT /v1/projects/{project}/topics/{topic}", func(ctx context.Context, r *http.Request, body []byte) (proto.Message, error) {
		topic := &pb.Topic{}
		if err := decode(body, topic); err != nil {
			return nil, err
		}
		topic.Name = topicName(r)
		return server.CreateTopic(ctx, topic)
	})
	route("GET /v1/projects/{project}/topics/{topic}", func(ctx context.Context, r *http.Request, _ []byte) (proto.Message, error) {
		return server.GetTopic(ctx, &pb.GetTopicRequest{Topic: topicName(r)})
	})
	route("DELETE /v1/projects/{project}/topics/{topic}", func(ctx context.Context, r *http.Request, _ []byte) (proto.Message, error) {
		return server.DeleteTopic(ctx, &pb.DeleteTopicRequest{Topic: topicName(r)})
	})
	route("GET /v1/projects/{project}/topics/{topic}/subscriptions", func(ctx context.Context, r *http.Request, _ []byte) (proto.Message, error) {
		// The server answers NotFound for a topic only when asked for the topic itself.
		if _, err := server.GetTopic(ctx, &pb.GetTopicRequest{Topic: topicName(r)}); err != nil {
			return nil, err
		}
		return server.ListTopicSubscriptions(ctx, &pb.ListTopicSubscriptionsRequest{Topic: topicName(r)})
	})
	route("PUT /v1/projects/{project}/subscriptions/{subscription}", func(ctx context.Context, r *http.Request, body []byte) (proto.Message, error) {
		subscription := &pb.Subscription{}
		if err := decode(body, subscription); err != nil {
			return nil, err
		}
		subscription.Name = subscriptionName(r)
		return subscriber.CreateSubscription(ctx, subscription)
	})
	route("GET /v1/projects/{project}/subscriptions/{subscription}", func(ctx context.Context, r *http.Request, _ []byte) (proto.Message, error) {
		return subscriber.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: subscriptionName(r)})
	})
	route("DELETE /v1/projects/{project}/subscriptions/{subscription}", func(ctx context.Context, r *http.Request, _ []byte) (proto.Message, error) {
		return subscriber.DeleteSubscription(ctx, &pb.DeleteSubscriptionRequest{Subscription: subscriptionName(r)})
	})
	return mux
}

func topicName(r *http.Request) string {
	return "projects/" + r.PathValue("project") + "/topics/" + r.PathValue("topic")
}

func subscriptionName(r *http.Request) string {
	return "projects/" + r.PathValue("project") + "/subscriptions/" + r.PathValue("subscription")
}

func decode(body []byte, into proto.Message) error {
	if len(body) == 0 {
		return nil
	}
	if err := protojson.Unmarshal(body, into); err != nil {
		return status.Errorf(codes.InvalidArgument, "the body is not a valid request: %v", err)
	}
	return nil
}

func writeMessage(writer http.ResponseWriter, message proto.Message) {
	body, err := protojson.Marshal(message)
	if err != nil {
		writeError(writer, err)
		return
	}
	writer.Header().Set("Content-Type", "application/json")
	writer.Write(body)
}

// httpStatus is how Google's REST APIs map the codes that this server answers with.
var httpStatus = map[codes.Code]int{
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.Unimplemented:      http.StatusNotImplemented,
}

func writeError(writer http.ResponseWriter, err error) {
	answer := status.Convert(err)
	number, known := httpStatus[answer.Code()]
	if !known {
		number = http.StatusInternalServerError
	}
	writer.Header().Set("Content-Type", "application/json")
	writer.WriteHeader(number)
	json.NewEncoder(writer).Encode(map[string]any{
		"error": map[string]any{
			"code":    number,
			"message": answer.Message(),
			"status":  code.Code(answer.Code()).String(),
		},
	})
}
