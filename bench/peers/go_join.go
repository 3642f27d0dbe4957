// go_join.go - what bench/join.c measures, in Go.
//
//	go_join [PROCS]       (2)
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const rounds = 301

var spinsPerUs float64
var sink [64]int64

//go:noinline
func spin(times int) int64 {
	x := int64(0)
	for i := 0; i < times; i++ {
		x ^= int64(i)
	}
	return x
}

func compute(us float64) {
	atomic.AddInt64(&sink[0], spin(int(us*spinsPerUs)))
}

func calibrate() {
	for i := 0; i < 20; i++ {
		start := time.Now()
		spin(1000000)
		rate := 1e9 / float64(time.Since(start).Nanoseconds())
		if rate > spinsPerUs {
			spinsPerUs = rate
		}
	}
}

func cpu() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

func startMany() {
	for i := 0; i < 200; i++ {
		for k := 0; k < 10; k++ {
			go func() {}()
		}
		for k := 0; k < 10; k++ {
			runtime.Gosched()
		}
	}
}

func joinOne(n int, us float64) float64 {
	var wg sync.WaitGroup
	start := time.Now()
	wg.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			compute(us)
			wg.Done()
		}()
	}
	wg.Wait()
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

func holdOne(int, float64) float64 {
	var begun int32
	start := time.Now()
	go func() { atomic.StoreInt32(&begun, 1) }()
	for atomic.LoadInt32(&begun) == 0 && time.Since(start) < 5*time.Millisecond {
	}
	return float64(time.Since(start).Nanoseconds())
}

func measure(name string, one func(int, float64) float64, n int, us float64, after bool) {
	var ns []float64
	spent := 0.0
	for r := 0; r < rounds; r++ {
		if after {
			startMany()
		}
		start := cpu()
		ns = append(ns, one(n, us))
		spent += (cpu() - start) / rounds / float64(n)
	}
	sort.Float64s(ns)
	if after {
		name += ", after starts"
	}
	fmt.Printf("{\"name\": \"%s\", \"ns\": %.0f, \"min\": %.0f, \"max\": %.0f, \"cpu\": %.0f}\n", name,
		ns[rounds/2], ns[rounds/10], ns[rounds*9/10], spent)
}

func main() {
	procs := 2
	if len(os.Args) > 1 {
		procs, _ = strconv.Atoi(os.Args[1])
	}
	runtime.GOMAXPROCS(procs)
	debug.SetGCPercent(-1)
	calibrate()
	joins := []struct {
		name string
		n    int
		us   float64
	}{{"2 of 200 us", 2, 200}, {"2 of 50 us", 2, 50}, {"8 of 20 us", 8, 20},
		{"32 of 5 us", 32, 5}, {"200 of 1 us", 200, 1}, {"1 of 20 us", 1, 20}}
	for _, after := range []bool{false, true} {
		for _, j := range joins {
			measure(j.name, joinOne, j.n, j.us, after)
		}
		if procs > 1 {
			measure("held", holdOne, 1, 0, after)
		}
	}
}
