// peer.go - Go's net/http as client of runnel, and as server for its client. See test_http_peers.py and test_client.py.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"time"
)

type answer struct {
	*http.Response
	body   []byte
	reused bool
}

func must(ok bool, format string, args ...any) {
	if !ok {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		os.Exit(1)
	}
}

// ask makes a request, its fields as "Name: value", and reads its answer to the end.
func ask(client *http.Client, method, url string, body io.Reader, fields ...string) answer {
	var a answer
	r, err := http.NewRequest(method, url, body)
	must(err == nil, "%v", err)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { a.reused = i.Reused }}
	a.Response, err = client.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	must(err == nil, "%v", err)
	a.body, err = io.ReadAll(a.Body)
	must(err == nil, "%v", err)
	a.Body.Close()
	return a
}

// client asks for all that a test lists, on one connection.
func client(at, text, bigHash string) {
	transport := &http.Transport{ExpectContinueTimeout: 10 * time.Second}
	c := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	get := func(path string, fields ...string) answer { return ask(c, "GET", at+path, nil, fields...) }
	n := 0
	check := func(a answer, status int) answer {
		must(a.StatusCode == status, "%s %s: %s", a.Request.Method, a.Request.URL, a.Status)
		must(a.reused == (n > 0), "%s: on connection %d", a.Request.URL, n)
		n++
		return a
	}
	for _, name := range []string{"", "style.css", "script.js", "image.png"} {
		check(get("/page/"+name), 200)
	}
	a := check(get("/text.txt"), 200) // asks for gzip by itself
	must(string(a.body) == text && a.Uncompressed, "%q", a.body)
	a = check(get("/text.txt", "Accept-Encoding: identity"), 200)
	must(string(a.body) == text && a.ContentLength == int64(len(text)), "%q", a.body)
	tag := a.Header.Get("Etag")
	a = check(get("/text.txt", "If-None-Match: "+tag, "Accept-Encoding: identity"), 304)
	must(len(a.body) == 0, "%q", a.body)
	a = check(get("/text.txt", "Range: bytes=5-9"), 206)
	must(string(a.body) == text[5:10], "%q", a.body)
	must(a.Header.Get("Content-Range") == fmt.Sprintf("bytes 5-9/%d", len(text)), "%v", a.Header)
	a = check(get("/text.txt", "Range: bytes=9999-"), 416)
	must(a.Header.Get("Content-Range") == fmt.Sprintf("bytes */%d", len(text)), "%v", a.Header)
	a = check(ask(c, "HEAD", at+"/big.bin", nil), 200)
	must(a.ContentLength > 1<<20 && len(a.body) == 0, "%d", a.ContentLength)
	check(get("/none"), 404)
	a = check(ask(c, "PUT", at+"/text.txt", strings.NewReader("small")), 405)
	must(a.Header.Get("Allow") != "", "%v", a.Header)
	// A reader of unknown length goes in chunks.
	check(ask(c, "POST", at+"/text.txt", io.MultiReader(strings.NewReader("in"), strings.NewReader("chunks"))), 405)
	a = check(get("/big.bin"), 200)
	must(fmt.Sprintf("%x", sha256.Sum256(a.body)) == bigHash, "%d other bytes", len(a.body))
	// What is refused is not sent, and the connection ends: whether it would come the server cannot know.
	body := &counted{}
	ask(c, "PUT", at+"/text.txt", body, "Expect: 100-continue")
	must(body.n == 0, "%d bytes of a refused body were sent", body.n)
	fmt.Println("good")
}

type counted struct{ n int }

func (c *counted) Read(p []byte) (int, error) {
	c.n += len(p)
	if c.n > 10<<20 {
		return 0, io.EOF
	}
	return len(p), nil
}

// serve is what http_ask.c asks; it prints where.
func serve() {
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
		io.Copy(w, bytes.NewReader(body)) // in chunks, when it is long
	})
	http.HandleFunc("/refuse", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(413) })
	for path, status := range map[string]int{"/moved": 307, "/other": 302} {
		status := status
		http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // else it closes the connection
			http.Redirect(w, r, "/echo", status)
		})
	}
	http.HandleFunc("/peer", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) })
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	must(err == nil, "%v", err)
	must(http.Serve(l, nil) == nil, "it ended")
}

func main() {
	if os.Args[1] == "serve" {
		serve()
	}
	client(os.Args[2], os.Args[3], os.Args[4])
}
