"""What is done inside Redis, one script for each verb: each runs there whole or not at all, whoever else asks.

Keys: ``lbc:page:TOKEN`` is a copy, a hash that Redis itself lets go in the end. ``lbc:kept`` and ``lbc:sent`` are
copies' tokens by the time when they came, and when they went out first; ``lbc:sizes`` and ``lbc:bytes`` are their
sizes, each and together. ``lbc:gone`` are tombstones in order, ``lbc:why`` what they say, ``lbc:seq`` their count.
The keys are not handed in one by one: a Redis Cluster, which would ask for that, is not served.

Numbers travel as text, and as the same text that they came in, since Lua would write fewer digits.
"""

from __future__ import annotations

from lbcompanion.stores.expiry import EXPIRY_REASON_LUA

#: What every script begins with. Arguments: 1 now, 2 max_seconds, 3 grace (below 0: copies stay), 4 and 5 the latest
#: times of coming and of sending that are over, 6 max_pages, 7 max_bytes, 8 how long what is told of copies may
#: outlive the last of them, in ms; from 9 on the verb's own.
_HEAD = """
local now, max_seconds, grace = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call
"""

#: What the verbs share. ``over`` is :data:`~lbcompanion.stores.expiry.EXPIRY_REASON_LUA`.
_SHARED = """
local count = {expired = 0, pulled = 0, evicted = 0}
local INDEX = {'lbc:kept', 'lbc:sent', 'lbc:sizes', 'lbc:bytes', 'lbc:gone', 'lbc:why', 'lbc:seq'}

local function answer(value)
  return {count.expired, count.pulled, count.evicted, value}
end

local function live_on()
  for _, key in ipairs(INDEX) do call('PEXPIRE', key, ARGV[8]) end
end

local function bury(token, told)
  call('ZADD', 'lbc:gone', call('INCR', 'lbc:seq'), token)
  call('HSET', 'lbc:why', token, told)
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

-- A copy whose time is not over, but which is not there, is one that Redis had no memory for.
local function lives(token)
  local stored = call('ZSCORE', 'lbc:kept', token)
  if not stored then return false end
  local reason = over(token, stored)
  if not reason and call('EXISTS', 'lbc:page:' .. token) == 0 then reason = 'evicted' end
  if reason then retire(token, reason) end
  return not reason
end
"""

#: token, size, ms until Redis lets it go, then names and values of the copy's fields.
_PUT = """
local token = ARGV[9]
local page = 'lbc:page:' .. token
-- This comes first: Redis lets a script that has written anything go on, though its memory is full.
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
local told = call('HGET', 'lbc:why', token)
return answer(told and string.sub(told, 1, 6) == 'pulled' and 1 or 0)
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
        "sent": _SENT,
        "drop": _DROP,
        "mark": _MARK,
        "sweep": _SWEEP,
        "tokens": _TOKENS,
        "stats": _STATS,
    }.items()
}
