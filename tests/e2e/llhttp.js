// llhttp.js - where Node's llhttp, as strict as it is by default, ends a request: as framing.c, line by line.
// What it refuses: "refused CODE REASON". It is fed byte by byte, which tells where it was done.
'use strict'
const { HTTPParser } = require('_http_common')

function judge(bytes) {
  const parser = new HTTPParser()
  let ended = false, length = 0, hash = 2166136261
  parser.initialize(HTTPParser.REQUEST, {})
  parser[HTTPParser.kOnHeadersComplete] = () => 0
  parser[HTTPParser.kOnBody] = (body) => {
    length += body.length
    for (const byte of body) hash = Math.imul(hash ^ byte, 16777619) >>> 0
  }
  parser[HTTPParser.kOnMessageComplete] = () => { ended = true }
  for (let at = 0; at < bytes.length; at++) {
    const r = parser.execute(bytes.subarray(at, at + 1))
    if (ended) return `ended ${at + 1} ${length} ${hash.toString(16).padStart(8, '0')}`
    if (r instanceof Error) return `refused ${r.code} ${r.reason}`
    if (r !== 1) return 'refused HPE_UPGRADE' // Node tells no error once it saw an upgrade
  }
  return 'more'
}

console.log(`llhttp ${process.versions.llhttp}`)
const lines = require('fs').readFileSync(0, 'latin1').split('\n')
console.log(lines.slice(0, -1).map((line) => judge(Buffer.from(line, 'hex'))).join('\n'))
