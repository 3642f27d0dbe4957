// go_sync.go - what bench/switch.c and bench/sync.c measure, in Go.
//
//	go_sync [PROCS]       (1)
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	rounds    = 9
	chanTimes = 400000
	ring      = 1000
	ringLaps  = 200
	senders   = 8
	primes    = 500
	lockers   = 100
	locks     = 4000
)

// On one P by the CPU time of the process, on two by the clock, as bench/pieces.h.
var byClock = false

func now() float64 {
	if byClock {
		return float64(time.Now().UnixNano())
	}
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

func measure(name string, times int, body func()) {
	var ns []float64
	for r := 0; r < rounds; r++ {
		start := now()
		body()
		ns = append(ns, (now()-start)/float64(times))
	}
	sort.Float64s(ns)
	fmt.Printf("{\"name\": \"%s\", \"ns\": %.2f, \"min\": %.2f, \"max\": %.2f}\n", name,
		ns[rounds/2], ns[0], ns[rounds-1])
}

func benchYield() {
	var wg sync.WaitGroup
	wg.Add(1)
	stop := false
	go func() {
		for !stop {
			runtime.Gosched()
		}
		wg.Done()
	}()
	for i := 0; i < chanTimes/2; i++ {
		runtime.Gosched()
	}
	stop = true
	wg.Wait()
}

func benchSpawn() {
	for i := 0; i < chanTimes; i++ {
		go func() {}()
		runtime.Gosched()
	}
}

func benchChan() {
	there, back := make(chan int), make(chan int)
	go func() {
		for v := range there {
			back <- v
		}
	}()
	for i := 0; i < chanTimes; i++ {
		there <- i
		<-back
	}
	close(there)
}

func benchBuffer() {
	ch := make(chan int, 128)
	go func() {
		for i := 0; i < chanTimes; i++ {
			ch <- i
		}
		close(ch)
	}()
	for range ch {
	}
}

func benchRing() {
	first := make(chan int)
	from := first
	for i := 1; i < ring; i++ {
		to := make(chan int)
		go func(from, to chan int) {
			for v := range from {
				to <- v
			}
			close(to)
		}(from, to)
		from = to
	}
	for lap := 0; lap < ringLaps; lap++ {
		first <- 0
		<-from
	}
	close(first)
}

func benchSelect() {
	var ch [senders]chan int
	for i := range ch {
		ch[i] = make(chan int)
		go func(c chan int) {
			for k := 0; k < chanTimes/senders; k++ {
				c <- k
			}
		}(ch[i])
	}
	for i := 0; i < chanTimes; i++ {
		select {
		case <-ch[0]:
		case <-ch[1]:
		case <-ch[2]:
		case <-ch[3]:
		case <-ch[4]:
		case <-ch[5]:
		case <-ch[6]:
		case <-ch[7]:
		}
	}
}

// Without a way to end, as Go's own example of the sieve: what is left of it is garbage.
func benchSieve() {
	c := make(chan int)
	go func(c chan int) {
		for i := 2; ; i++ {
			c <- i
		}
	}(c)
	for i := 0; i < primes; i++ {
		prime := <-c
		to := make(chan int)
		go func(from, to chan int) {
			for v := range from {
				if v%prime != 0 {
					to <- v
				}
			}
		}(c, to)
		c = to
	}
}

func benchMutex() {
	var m sync.Mutex
	var wg sync.WaitGroup
	wg.Add(lockers)
	counter := 0
	for i := 0; i < lockers; i++ {
		go func() {
			for k := 0; k < locks; k++ {
				m.Lock()
				counter++
				if k%16 == 0 {
					runtime.Gosched()
				}
				m.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
}

func main() {
	procs := 1
	if len(os.Args) > 1 {
		procs, _ = strconv.Atoi(os.Args[1])
	}
	runtime.GOMAXPROCS(procs)
	byClock = procs > 1
	if procs == 1 {
		measure("yield", chanTimes, benchYield)
	}
	measure("spawn", chanTimes, benchSpawn)
	measure("chan", chanTimes, benchChan)
	measure("buffer", chanTimes, benchBuffer)
	measure("ring", ring*ringLaps, benchRing)
	measure("select", chanTimes, benchSelect)
	measure("sieve", primes, benchSieve)
	measure("mutex", lockers*locks, benchMutex)
}
