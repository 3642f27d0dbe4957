// go_http serves a directory with net/http's FileServer: `go_http PORT DIR`. See bench/README.md.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: go_http PORT DIR")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(runtime.Version(), "GOMAXPROCS", runtime.GOMAXPROCS(0))
	log.Fatal(http.Serve(ln, http.FileServer(http.Dir(os.Args[2]))))
}
