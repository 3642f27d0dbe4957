// peer.go - the other end of tests/e2e/interop.c, with Go's net: `peer serve|dial NETWORK ADDRESS [LOCAL]`
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func isPacket(network string) bool {
	return strings.HasPrefix(network, "udp") || network == "unixgram"
}

func echo(c net.Conn, network string) {
	defer c.Close()
	if network != "unixpacket" {
		io.Copy(c, c)
		return
	}
	buf := make([]byte, 1<<16)
	for {
		n, err := c.Read(buf)
		if err != nil || n == 0 {
			return
		}
		c.Write(buf[:n])
	}
}

func serve(network, address string) {
	if isPacket(network) {
		c, err := net.ListenPacket(network, address)
		check(err)
		fmt.Println(c.LocalAddr())
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(buf)
			check(err)
			c.WriteTo(buf[:n], from)
		}
	}
	ln, err := net.Listen(network, address)
	check(err)
	fmt.Println(ln.Addr())
	for {
		c, err := ln.Accept()
		check(err)
		go echo(c, network)
	}
}

func talkStream(c net.Conn) {
	out := make([]byte, 1<<20)
	for i := range out {
		out[i] = byte(i*7 + i/4096)
	}
	go func() {
		_, err := c.Write(out)
		check(err)
		check(c.(interface{ CloseWrite() error }).CloseWrite())
	}()
	in, err := io.ReadAll(c)
	check(err)
	if !bytes.Equal(in, out) {
		check(fmt.Errorf("%d bytes came back, and not the same", len(in)))
	}
}

func talkMessages(c net.Conn) {
	in := make([]byte, 1<<16)
	for i, size := range []int{1, 100, 8000, 3} {
		out := bytes.Repeat([]byte{byte('a' + i)}, size)
		_, err := c.Write(out)
		check(err)
		n, err := c.Read(in)
		check(err)
		if !bytes.Equal(in[:n], out) {
			check(fmt.Errorf("message %d has changed", i))
		}
	}
}

func main() {
	network, address := os.Args[2], os.Args[3]
	if os.Args[1] == "serve" {
		serve(network, address)
	}
	d := net.Dialer{Timeout: 60 * time.Second}
	if len(os.Args) > 4 {
		d.LocalAddr = &net.UnixAddr{Name: os.Args[4], Net: network}
	}
	c, err := d.Dial(network, address)
	check(err)
	c.SetDeadline(time.Now().Add(60 * time.Second))
	if isPacket(network) || network == "unixpacket" {
		talkMessages(c)
	} else {
		talkStream(c)
	}
	c.Close()
	fmt.Println("good")
}
