package main

import (
	"bufio"
	"io"
	"net"
)

// preface starts every HTTP/2 connection, and no HTTP/1 request.
const preface = "PRI"

// dispatch passes a connection on by its first bytes.
func dispatch(connection net.Conn, grpcAddress string, rest *queue) {
	reader := bufio.NewReader(connection)
	first, err := reader.Peek(len(preface))
	if err != nil {
		connection.Close()
		return
	}
	buffered := &peeked{Conn: connection, reader: reader}
	if string(first) != preface {
		rest.connections <- buffered
		return
	}
	upstream, err := net.Dial("tcp", grpcAddress)
	if err != nil {
		connection.Close()
		return
	}
	go join(upstream, buffered)
	join(buffered, upstream)
}

// join copies one direction; the end of either ends both, so that a cut client is noticed at once.
func join(to, from net.Conn) {
	io.Copy(to, from)
	to.Close()
	from.Close()
}

// peeked is a connection of which some bytes were read ahead.
type peeked struct {
	net.Conn
	reader *bufio.Reader
}

func (p *peeked) Read(into []byte) (int, error) {
	return p.reader.Read(into)
}

// queue is a listener whose connections are handed to it.
type queue struct {
	connections chan net.Conn
	address     net.Addr
}

func newQueue(address net.Addr) *queue {
	return &queue{connections: make(chan net.Conn), address: address}
}

func (q *queue) Accept() (net.Conn, error) {
	return <-q.connections, nil
}

func (q *queue) Close() error {
	return nil
}

func (q *queue) Addr() net.Addr {
	return q.address
}
