// go_echo is TCP echo the way Go programs write it: `go_echo PORT`. See bench/README.md.
//
// GOMAXPROCS follows the affinity mask, so under taskset with one CPU Go runs one P.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
)

func echo(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go_echo PORT")
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
		go echo(conn)
	}
}
