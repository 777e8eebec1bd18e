package redisstore

import "github.com/redis/go-redis/v9"

// What belongs to one space is kept under names with the space in braces, which is
// what a cluster would place them by:
//
//	k:<key>  a hash of a value: v, the value, and r, its revision
//	index    a sorted set of the keys, in their order
//	expiry   a sorted set of the keys that expire, by when
//	last     the last revision
//
// Scripts run as a whole, and nothing else meanwhile. Each is given the space's
// prefix as its only key.

// begin forgets the keys whose time is up, which Redis itself has removed or is
// about to. Times are in milliseconds.
const begin = `
local p = KEYS[1]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function drop(k)
  redis.call('DEL', p .. 'k:' .. k)
  redis.call('ZREM', p .. 'index', k)
  redis.call('ZREM', p .. 'expiry', k)
end
for _, k in ipairs(redis.call('ZRANGEBYSCORE', p .. 'expiry', '-inf', now, 'LIMIT', 0, 100)) do drop(k) end
`

// write makes room for a key and writes it: set says how, or what is wrong.
// Revisions are microseconds, or one more than the last, so that they don't come
// again even if the last was lost.
const write = `
local function write(k, lifetime, most, set)
  if redis.call('ZSCORE', p .. 'index', k) == false and redis.call('ZCARD', p .. 'index') >= most then
    local first = redis.call('ZRANGE', p .. 'expiry', 0, 0)[1]
    if first == nil then return 'full' end
    drop(first)
  end
  local revision = t[1] * 1000000 + t[2]
  local last = tonumber(redis.call('GET', p .. 'last') or '0')
  if revision <= last then revision = last + 1 end
  revision = string.format('%.0f', revision)
  redis.call('SET', p .. 'last', revision)
  local wrong = set(p .. 'k:' .. k)
  if wrong then return wrong end
  redis.call('HSET', p .. 'k:' .. k, 'r', revision)
  redis.call('ZADD', p .. 'index', 0, k)
  if lifetime > 0 then
    redis.call('PEXPIREAT', p .. 'k:' .. k, now + lifetime)
    redis.call('ZADD', p .. 'expiry', now + lifetime, k)
  else
    redis.call('PERSIST', p .. 'k:' .. k)
    redis.call('ZREM', p .. 'expiry', k)
  end
  return 'ok'
end
`

// condition compares a key's revision; "0" is any, "absent" none.
const condition = `
local function met(k, on)
  local r = redis.call('HGET', p .. 'k:' .. k, 'r')
  if on == '0' then return true end
  if on == 'absent' then return r == false end
  return r == on
end
`

// put: key, value, condition, lifetime, most keys.
var put = redis.NewScript(begin + write + condition + `
if not met(ARGV[1], ARGV[3]) then return 'mismatch' end
return write(ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5]), function(name) redis.call('HSET', name, 'v', ARGV[2]) end)
`)

// remove: key, condition.
var remove = redis.NewScript(begin + condition + `
if redis.call('EXISTS', p .. 'k:' .. ARGV[1]) == 0 then return 'absent' end
if not met(ARGV[1], ARGV[2]) then return 'mismatch' end
drop(ARGV[1])
return 'ok'
`)

// add: key, what to add, lifetime, most keys. Redis adds itself: a number of Lua has
// 53 bits.
var add = redis.NewScript(begin + write + `
local name = p .. 'k:' .. ARGV[1]
local v = redis.call('HGET', name, 'v')
if v and not (v == '0' or string.match(v, '^-?[1-9]%d*$')) then return 'no number' end
local result = write(ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), function(name)
  local sum = redis.pcall('HINCRBY', name, 'v', ARGV[2])
  if type(sum) == 'table' then return 'no number' end
end)
if result ~= 'ok' then return result end
return redis.call('HGET', name, 'v')
`)

// keys: the first, how many. What Redis has removed is left out.
var keys = redis.NewScript(begin + `
local found = {}
local from = '[' .. ARGV[1]
local most = tonumber(ARGV[2])
while #found < most do
  local some = redis.call('ZRANGEBYLEX', p .. 'index', from, '+', 'LIMIT', 0, most - #found)
  if #some == 0 then break end
  for _, k in ipairs(some) do
    if redis.call('EXISTS', p .. 'k:' .. k) == 1 then found[#found + 1] = k end
  end
  from = '(' .. some[#some]
end
return found
`)
