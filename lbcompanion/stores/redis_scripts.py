"""The scripts for Redis, one for each verb. Redis executes each script atomically.

Keys: ``lbc:page:TOKEN`` is a copy, a hash with an expiry time. ``lbc:kept`` and ``lbc:sent`` are sorted sets of tokens,
scored by the time of storing and by the time of the first sending. ``lbc:sizes`` has the size of each copy,
``lbc:bytes`` their sum. ``lbc:gone`` has the tombstones in order, ``lbc:why`` their content, ``lbc:seq`` their counter.
The keys are not passed as KEYS, which Redis Cluster requires: Redis Cluster is not supported.

Numbers are passed as text and stored as that text, because Lua would write fewer digits.
"""

from __future__ import annotations

from lbcompanion.stores.expiry import EXPIRY_REASON_LUA

#: The beginning of every script. Arguments: 1 now; 2 max_seconds; 3 grace (negative: sending does not shorten a life);
#: 4 and 5 the bounds of expiry_bounds; 6 max_pages; 7 max_bytes; 8 how long tombstones and sizes outlive the last copy,
#: in ms; from 9 the arguments of the verb.
_HEAD = """
local now, max_seconds, grace = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call
"""

#: Functions that the verbs share. ``over`` is :data:`~lbcompanion.stores.expiry.EXPIRY_REASON_LUA`.
_SHARED = """
local count = {expired = 0, pulled = 0, evicted = 0}
local INDEX = {'lbc:kept', 'lbc:sent', 'lbc:sizes', 'lbc:bytes', 'lbc:gone', 'lbc:why', 'lbc:seq'}

local function answer(value)
  return {count.expired, count.pulled, count.evicted, value}
end

local function live_on()
  for _, key in ipairs(INDEX) do call('PEXPIRE', key, ARGV[8]) end
end

local function bury(token, tombstone)
  call('ZADD', 'lbc:gone', call('INCR', 'lbc:seq'), token)
  call('HSET', 'lbc:why', token, tombstone)
  local over = call('ZCARD', 'lbc:gone') - tonumber(ARGV[6])
  if over > 0 then
    local popped = call('ZPOPMIN', 'lbc:gone', over)
    for at = 1, #popped, 2 do call('HDEL', 'lbc:why', popped[at]) end
  end
end

local function unlist(token)
  call('ZREM', 'lbc:kept', token)
  call('ZREM', 'lbc:sent', token)
  local size = call('HGET', 'lbc:sizes', token)
  if size then
    call('HDEL', 'lbc:sizes', token)
    call('DECRBY', 'lbc:bytes', size)
  end
end

local function retire(token, reason)
  unlist(token)
  call('UNLINK', 'lbc:page:' .. token)
  bury(token, reason)
  count[reason] = count[reason] + 1
end

local function sweep()
  local gone = 0
  local function all(key, latest)
    for _, token in ipairs(call('ZRANGEBYSCORE', key, '-inf', latest, 'LIMIT', 0, 500)) do
      local stored = call('ZSCORE', 'lbc:kept', token)
      local reason = stored and over(token, stored)
      if reason then
        retire(token, reason)
        gone = gone + 1
      elseif not stored then
        call('ZREM', key, token)
      end
    end
  end
  all('lbc:kept', ARGV[4])
  if grace >= 0 then all('lbc:sent', ARGV[5]) end
  return gone
end

-- A copy that is missing before its time was evicted by Redis for lack of memory.
local function lives(token)
  local stored = call('ZSCORE', 'lbc:kept', token)
  if not stored then return false end
  local reason = over(token, stored)
  if not reason and call('EXISTS', 'lbc:page:' .. token) == 0 then reason = 'evicted' end
  if reason then retire(token, reason) end
  return not reason
end
"""

#: Arguments: token, size, ms until Redis deletes the copy, then names and values of the copy's fields.
_PUT = """
local token = ARGV[9]
local page = 'lbc:page:' .. token
-- This comes first: it fails if memory is full. After the first write, Redis lets a script continue regardless.
call('HSET', page, unpack(ARGV, 12))
call('PEXPIRE', page, ARGV[11])
unlist(token)
if call('HDEL', 'lbc:why', token) == 1 then call('ZREM', 'lbc:gone', token) end
sweep()
if call('ZCARD', 'lbc:kept') == 0 then call('DEL', 'lbc:bytes', 'lbc:sizes', 'lbc:sent') end
call('ZADD', 'lbc:kept', ARGV[1], token)
call('HSET', 'lbc:sizes', token, ARGV[10])
call('INCRBY', 'lbc:bytes', ARGV[10])
while call('ZCARD', 'lbc:kept') > tonumber(ARGV[6]) or tonumber(call('GET', 'lbc:bytes')) > tonumber(ARGV[7]) do
  local victim = call('ZRANGE', 'lbc:sent', 0, 0)[1] or call('ZRANGE', 'lbc:kept', 0, 0)[1]
  if not victim then break end
  retire(victim, 'evicted')
end
live_on()
return answer(1)
"""

_FIND = """
local token = ARGV[9]
if lives(token) then
  return answer(call('HMGET', 'lbc:page:' .. token, unpack(ARGV, 10)))
end
return answer(call('HGET', 'lbc:why', token))
"""

_URL = """
local token = ARGV[9]
return answer(lives(token) and call('HGET', 'lbc:page:' .. token, 'url'))
"""

_TAKE = """
local token = ARGV[9]
if lives(token) then
  call('ZREM', 'lbc:sent', token)
  return answer(call('HMGET', 'lbc:page:' .. token, unpack(ARGV, 10)))
end
return answer(call('HGET', 'lbc:why', token))
"""

_SENT = """
local token = ARGV[9]
if lives(token) then call('ZADD', 'lbc:sent', 'NX', ARGV[1], token) end
return answer(1)
"""

_DROP = """
local token = ARGV[9]
if lives(token) then
  if grace >= 0 then retire(token, 'pulled') end
  return answer(1)
end
local tombstone = call('HGET', 'lbc:why', token)
return answer(tombstone and string.sub(tombstone, 1, 6) == 'pulled' and 1 or 0)
"""

_MARK = """
if not lives(ARGV[9]) then
  bury(ARGV[9], ARGV[10])
  live_on()
end
return answer(1)
"""

_SWEEP = "return answer(sweep())"

_TOKENS = """
while sweep() > 0 do end
return answer(call('ZRANGE', 'lbc:kept', 0, -1))
"""

_STATS = "return answer({call('ZCARD', 'lbc:kept'), call('GET', 'lbc:bytes') or '0'})"

#: By verb.
SCRIPTS = {
    name: _HEAD + EXPIRY_REASON_LUA + _SHARED + body
    for name, body in {
        "put": _PUT,
        "find": _FIND,
        "url": _URL,
        "take": _TAKE,
        "sent": _SENT,
        "drop": _DROP,
        "mark": _MARK,
        "sweep": _SWEEP,
        "tokens": _TOKENS,
        "stats": _STATS,
    }.items()
}
