// go_memory.go - what bench/memory.c measures of parked coroutines, in Go.
//
//	go_memory N
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func readBytes(name string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, name) {
			kib, _ := strconv.Atoi(strings.Fields(line)[1])
			return float64(kib) * 1024
		}
	}
	return 0
}

func cpuNs() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

func main() {
	n, _ := strconv.Atoi(os.Args[1])
	runtime.GOMAXPROCS(1)
	ends := make(chan struct{})
	parked, ended := 0, 0
	rss, pte, began := readBytes("VmRSS:"), readBytes("VmPTE:"), cpuNs()
	for i := 0; i < n; i++ {
		go func() {
			parked++
			<-ends
			ended++
		}()
		if i%64 == 63 {
			runtime.Gosched()
		}
	}
	for parked < n {
		runtime.Gosched()
	}
	started := cpuNs()
	rssN, pteN := readBytes("VmRSS:")-rss, readBytes("VmPTE:")-pte
	close(ends)
	for ended < n {
		runtime.Gosched()
	}
	over := cpuNs()
	time.Sleep(2 * time.Second)
	each := float64(n)
	fmt.Printf("{\"rss\": %.1f, \"pte\": %.1f, \"start_ns\": %.1f, \"end_ns\": %.1f, "+
		"\"rss_after\": %.1f}\n", rssN/each, pteN/each, (started-began)/each,
		(over-started)/each, (readBytes("VmRSS:")-rss)/each)
}
