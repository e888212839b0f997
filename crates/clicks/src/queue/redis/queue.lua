-- KEYS: the stream, and up to where each spool is in it.
-- ARGV: what to do, numbers, words.
local stream, sources = KEYS[1], KEYS[2]
local what = ARGV[1]

if what == '1' then -- position: source
  return { redis.call('HGET', sources, ARGV[2]) or '' }
end

if what == '2' then -- put: most entries, whether anew, source, after, from, to, bytes
  local at = redis.call('HGET', sources, ARGV[4]) or ''
  if ARGV[3] == '0' then
    if at == ARGV[7] then
      return { 'done' }
    end
    if at ~= ARGV[5] then
      return { 'elsewhere', at }
    end
  end
  if redis.call('XLEN', stream) >= tonumber(ARGV[2]) then
    return { 'full' }
  end
  redis.call('XADD', stream, '*', 's', ARGV[4], 'a', ARGV[5], 'f', ARGV[6], 't', ARGV[7], 'b', ARGV[8])
  redis.call('HSET', sources, ARGV[4], ARGV[7])
  return { 'done' }
end

if what == '3' then -- take: most, milliseconds after which others' are taken, whether again, group, consumer
  local most, idle, again, group, consumer = tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
  local function read(from, count)
    local reply = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, from)
    if type(reply) == 'table' and reply.err then
      if not string.find(reply.err, 'NOGROUP', 1, true) then
        return reply
      end
      redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
      reply = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, from)
    end
    return reply
  end
  local found = {}
  local function add(entries)
    for _, entry in ipairs(entries) do
      -- One that is gone has no fields.
      if entry and entry[2] then
        local fields = {}
        for at = 1, #entry[2], 2 do
          fields[entry[2][at]] = entry[2][at + 1]
        end
        found[#found + 1] = { entry[1], fields.s or '', fields.a or '', fields.f or '', fields.t or '', fields.b or '' }
      end
    end
  end
  if again == '1' then
    local own = read('0', most)
    if own and own.err then
      return own
    end
    if own then
      add(own[1][2])
    end
  end
  -- The group may be gone with all the rest.
  local claimed = redis.pcall('XAUTOCLAIM', stream, group, consumer, idle, '0-0', 'COUNT', most)
  if type(claimed) == 'table' and not claimed.err then
    add(claimed[2])
  end
  if #found < most then
    local new = read('>', most - #found)
    if new and new.err then
      return new
    end
    if new then
      add(new[1][2])
    end
  end
  return found
end

-- done: group, names
local group = ARGV[2]
local names = {}
for at = 3, #ARGV do
  names[#names + 1] = ARGV[at]
end
redis.call('XACK', stream, group, unpack(names))
redis.call('XDEL', stream, unpack(names))
return {}
