// go_proxy is a TCP proxy the way Go programs write it: `go_proxy LISTEN TARGET`, both of them ports
// of 127.0.0.1. See bench/README.md.
//
// io.Copy finds (*net.TCPConn).ReadFrom, which is splice where both ends are TCP.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"runtime"
)

func pump(dst, src *net.TCPConn, done chan<- struct{}) {
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		src.Close()
	} else {
		dst.CloseWrite()
	}
	done <- struct{}{}
}

func proxy(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	go pump(server.(*net.TCPConn), client.(*net.TCPConn), done)
	go pump(client.(*net.TCPConn), server.(*net.TCPConn), done)
	<-done
	<-done
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: go_proxy LISTEN TARGET")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(runtime.Version(), "GOMAXPROCS", runtime.GOMAXPROCS(0))
	for {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go proxy(conn, "127.0.0.1:"+os.Args[2])
	}
}
