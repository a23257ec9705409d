// Command pubsub-emulator serves Google Pub/Sub from memory, for tests.
//
// The server is Google's own in-memory one (pstest, of its Go client), corrected where it is too simple for
// tests of redelivery (see subscriber). It speaks gRPC only, and HyperFleet administers topics and
// subscriptions over REST; so one port takes both: connections that open with HTTP/2's preface go to the
// gRPC server, all others to a gateway that calls the same server in process.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
)

func main() {
	address := flag.String("addr", "127.0.0.1:8085", "address to listen on")
	withParent := flag.Bool("with-parent", false, "end when standard input ends, and so with who holds it")
	flag.Parse()
	if *withParent {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatalf("cannot listen on %s: %v", *address, err)
	}
	memory := &pstest.NewServerWithAddress("127.0.0.1:0").GServer
	subscriber := newSubscriber(memory)
	grpcListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatalf("cannot listen: %v", err)
	}
	server := grpc.NewServer()
	pb.RegisterPublisherServer(server, memory)
	pb.RegisterSubscriberServer(server, subscriber)
	go func() {
		log.Fatal(server.Serve(grpcListener))
	}()
	rest := newQueue(listener.Addr())
	go func() {
		log.Fatal(http.Serve(rest, gateway(memory, subscriber)))
	}()
	// Whoever started this waits for the line.
	log.Printf("listening on %s", listener.Addr())
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatalf("cannot accept: %v", err)
		}
		go dispatch(connection, grpcListener.Addr().String(), rest)
	}
}
