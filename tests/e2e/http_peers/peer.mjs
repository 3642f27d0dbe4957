// peer.mjs - Node's fetch (which is undici) and its http as clients of runnel, and as server for its client.
// See test_http_peers.py and test_client.py.
import assert from 'node:assert'
import crypto from 'node:crypto'
import http from 'node:http'

const [what, at, text, bigHash] = process.argv.slice(2)

async function ask (path, status, options) {
  const r = await fetch(at + path, options)
  assert.equal(r.status, status, path)
  r.bytes = Buffer.from(await r.arrayBuffer())
  return r
}

// All on one connection, but for the last: undici drops it when a stream is answered before it was sent. It also
// closes after HEAD.
async function undici () {
  for (const name of ['', 'style.css', 'script.js', 'image.png']) await ask('/page/' + name, 200)
  for (const coding of ['br', 'gzip']) {
    const r = await ask('/text.txt', 200, { headers: { 'Accept-Encoding': coding } })
    assert.equal(r.headers.get('content-encoding'), coding)
    assert.equal(r.bytes, text)
  }
  const headers = { 'Accept-Encoding': 'identity' }
  let r = await ask('/text.txt', 200, { headers })
  headers['If-None-Match'] = r.headers.get('etag')
  r = await ask('/text.txt', 304, { headers })
  assert.equal(r.bytes.length, 0)
  r = await ask('/text.txt', 206, { headers: { Range: 'bytes=5-9' } })
  assert.equal(r.bytes, text.slice(5, 10))
  r = await ask('/text.txt', 416, { headers: { Range: 'bytes=9999-' } })
  assert.equal(r.headers.get('content-range'), 'bytes */' + text.length)
  await ask('/none', 404)
  r = await ask('/text.txt', 405, { method: 'POST', body: 'small' })
  assert.ok(r.headers.get('allow'))
  r = await ask('/big.bin', 200)
  assert.equal(crypto.createHash('sha256').update(r.bytes).digest('hex'), bigHash)
  r = await ask('/text.txt', 405, { method: 'PUT', duplex: 'half', body: new Blob(['in', 'chunks']).stream() })
  r = await ask('/big.bin', 200, { method: 'HEAD' })
  assert.ok(+r.headers.get('content-length') > 1 << 20)
  assert.equal(r.bytes.length, 0)
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })

function request (path, options, body) {
  return new Promise((resolve, reject) => {
    const q = http.request(at + path, { agent, ...options }, (r) => {
      const parts = []
      r.on('data', (part) => parts.push(part))
      r.on('end', () => resolve({ r, body: Buffer.concat(parts), reused: q.reusedSocket, continued: q.continued }))
    })
    q.on('error', reject)
    q.on('continue', () => { q.continued = true; q.end(body) })
    if (!options?.headers?.Expect) q.end(body)
  })
}

async function classic () {
  const rows = [['/page/', 200], ['/text.txt', 200, { method: 'HEAD' }], ['/none', 404],
    ['/text.txt', 206, { headers: { Range: 'bytes=-3' } }], ['/text.txt', 405, { method: 'DELETE' }],
    ['/text.txt', 405, { method: 'PUT' }, 'small'], ['/text.txt', 200]]
  for (const [i, [path, status, options, body]] of rows.entries()) {
    const a = await request(path, options, body)
    assert.equal(a.r.statusCode, status, path)
    assert.equal(a.reused, i > 0, path)
  }
  const a = await request('/text.txt', { method: 'PUT', headers: { Expect: '100-continue' } }, 'never sent')
  assert.equal(a.r.statusCode, 405)
  assert.ok(!a.continued)
  agent.destroy()
}

// What http_ask.c asks.
function serve () {
  http.createServer((q, r) => {
    const parts = []
    if (q.url === '/refuse') return r.writeHead(413).end()
    if (q.url === '/peer') return r.end(`${q.socket.remoteAddress}:${q.socket.remotePort}`)
    q.on('data', (part) => parts.push(part))
    q.on('end', () => {
      const status = { '/moved': 307, '/other': 302 }[q.url]
      if (status) return r.writeHead(status, { Location: '/echo' }).end()
      r.setHeader('X-Method', q.method)
      r.setHeader('X-Length', q.headers['content-length'] ?? -1)
      for (const part of parts) r.write(part)
      r.end()
    })
  }).on('checkContinue', (q, r) => {
    if (q.url !== '/refuse') r.writeContinue()
    q.socket.server.emit('request', q, r)
  }).listen(+at, '127.0.0.1')
}

if (what === 'serve') serve()
else {
  await undici()
  await classic()
  console.log('good')
}
