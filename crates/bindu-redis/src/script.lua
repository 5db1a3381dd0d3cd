-- One script, so that there is one hash to load. ARGV: base, op, window, then what the op takes.
--
-- A job is in exactly one place: the stream (it then holds its context, and `ctx` names its
-- entry), the list of its owner (it holds its context, which `ctx` marks `-`), or the list of its
-- context. `jobs` names the place of each, so that a job is not queued twice.
local q, base, op, window = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local jobs, ctxs, owners, aside, dlq =
  base .. 'jobs', base .. 'ctx', base .. 'own', base .. 'aside', base .. 'dlq'
local call = redis.call
local GROUP = 'workers'

local function clock()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A job is {key, context, owner, text, pushed at, attempts so far}.
local function stream(job)
  local id = call('XADD', q, '*', 'job', job[4], 'attempt', job[6], 'at', job[5],
    'key', job[1], 'ctx', job[2], 'own', job[3])
  call('HSET', jobs, job[1], id)
  call('HSET', ctxs, job[2], id)
end

local function set_aside(list, job)
  call('RPUSH', list, cmsgpack.pack(job))
  call('ZADD', aside, job[5], job[1])
  call('HSET', jobs, job[1], '-')
end

local function take_back(list)
  local packed = call('LPOP', list)
  if not packed then return nil end
  local job = cmsgpack.unpack(packed)
  call('ZREM', aside, job[1])
  return job
end

local function leave(owner)
  if call('HINCRBY', owners, owner, -1) <= 0 then call('HDEL', owners, owner) end
end

-- A job whose turn within its context it is: to the stream, or behind its owner's others.
local function ready(job)
  if call('HINCRBY', owners, job[3], 1) <= window then
    stream(job)
  else
    leave(job[3])
    set_aside(base .. 'o:' .. job[3], job)
    call('HSET', ctxs, job[2], '-')
  end
end

local function gone(id)
  return id ~= '-' and #call('XRANGE', q, id, id) == 0
end

local function entry(id)
  local found = call('XRANGE', q, id, id)[1]
  if not found then return nil end
  local fields = {}
  for i = 1, #found[2], 2 do fields[found[2][i]] = found[2][i + 1] end
  return fields, found[2]
end

-- Lets in what waits behind its owner's others, if the owner has room again.
local function feed(owner)
  if tonumber(call('HGET', owners, owner) or '0') >= window then return end
  local job = take_back(base .. 'o:' .. owner)
  if job then ready(job) end
end

-- Ends a delivery, and lets the next of its owner and of its context in. The first write is one
-- that a server without memory refuses: then all of it is refused, and nothing is half done.
local function done(id)
  if #call('XPENDING', q, GROUP, id, id, 1) == 0 then return end
  local job = entry(id)
  local known = job and job.key and call('HGET', jobs, job.key) == id
  if known then leave(job.own) end
  call('XACK', q, GROUP, id)
  call('XDEL', q, id)
  if not known then return end
  call('HDEL', jobs, job.key)
  call('HDEL', ctxs, job.ctx)
  feed(job.own)
  local following = take_back(base .. 'w:' .. job.ctx)
  if following then ready(following) end
end

-- What somebody deleted by hand must not hold up its context.
local function revive(context, owner)
  local holder = call('HGET', ctxs, context)
  if holder == '-' then
    feed(owner)
  elseif not holder or gone(holder) then
    if holder then leave(owner) end
    call('HDEL', ctxs, context)
    local job = take_back(base .. 'w:' .. context)
    if job then ready(job) end
  end
end

local function push(key, context, owner, text, at)
  local place = call('HGET', jobs, key)
  if place then revive(context, owner) end
  if place == '-' or (place and not gone(place)) then return end
  local job = {key, context, owner, text, at, '0'}
  local holder = call('HGET', ctxs, context)
  if holder and gone(holder) then
    revive(context, owner)
    holder = call('HGET', ctxs, context)
  end
  if holder then
    set_aside(base .. 'w:' .. context, job)
  else
    ready(job)
  end
end

-- Makes a delivery a job again, under a new id, so that the old one can end nothing any more.
local function again(id, counted)
  if #call('XPENDING', q, GROUP, id, id, 1) == 0 then return 0 end
  local job, raw = entry(id)
  if job then
    for i = 1, #raw, 2 do
      if raw[i] == 'attempt' then raw[i + 1] = tostring((tonumber(raw[i + 1]) or 0) + counted) end
    end
    local new = call('XADD', q, '*', unpack(raw))
    if job.key and call('HGET', jobs, job.key) == id then
      call('HSET', jobs, job.key, new)
      call('HSET', ctxs, job.ctx, new)
    end
  end
  call('XACK', q, GROUP, id)
  call('XDEL', q, id)
  return 1
end

if op == 'push' then
  local at = clock()
  for i = 4, #ARGV, 4 do push(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], at) end
  return call('XLEN', q) + call('ZCARD', aside)
elseif op == 'end' then
  -- ARGV: how much the dead letters may be, then of each: what, id, why.
  for i = 5, #ARGV, 3 do
    local what, id, why = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    if what == 'done' then
      done(id)
    elseif what == 'again' then
      again(id, 1)
    elseif what == 'back' then
      again(id, 0)
    elseif what == 'bury' and #call('XPENDING', q, GROUP, id, id, 1) > 0 then
      local _, raw = entry(id)
      if raw then
        raw[#raw + 1] = 'reason'
        raw[#raw + 1] = why
        call('XADD', dlq, 'MAXLEN', '~', ARGV[4], '*', unpack(raw))
      end
      done(id)
    end
  end
  return 0
elseif op == 'reclaim' then
  -- ARGV: idle ms, how many.
  local found = call('XPENDING', q, GROUP, 'IDLE', ARGV[4], '-', '+', ARGV[5])
  for _, pending in ipairs(found) do again(pending[1], 1) end
  return #found
elseif op == 'orphans' then
  -- ARGV: consumer, then what it knows to have. What it has and does not know, an answer was
  -- lost with.
  local known = {}
  for i = 5, #ARGV do known[ARGV[i]] = true end
  local count = 0
  for _, pending in ipairs(call('XPENDING', q, GROUP, '-', '+', 10000, ARGV[4])) do
    if not known[pending[1]] then
      count = count + again(pending[1], 0)
    end
  end
  return count
elseif op == 'adopt' then
  -- KEYS[2]: the shared list. ARGV of each: what, text, key, context, owner, new text or reason.
  -- Whoever removes the text from the list has it.
  local at = clock()
  for i = 4, #ARGV, 6 do
    local what, text = ARGV[i], ARGV[i + 1]
    if call('LREM', KEYS[2], 1, text) == 1 then
      if what == 'run' then
        push(ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], at)
      elseif what == 'back' then
        call('RPUSH', KEYS[2], ARGV[i + 5])
      elseif what == 'dead' then
        call('XADD', dlq, 'MAXLEN', '~', 10000, '*', 'job', text, 'reason', ARGV[i + 5])
      end
    end
  end
  return 0
elseif op == 'length' then
  return call('XLEN', q) + call('ZCARD', aside)
elseif op == 'depth' then
  -- ARGV: consumer. Answers all, pending, of these not yet with a worker elsewhere, since when
  -- the first waits (or -1), and what time it is.
  local pending = call('XPENDING', q, GROUP)
  local ahead = 0
  for _, consumer in ipairs(pending[4] or {}) do
    if consumer[1] ~= ARGV[4] then
      ahead = ahead + (tonumber(call('GET', base .. 'hb:' .. consumer[1]) or '0') or 0)
    end
  end
  local oldest = -1
  local first = call('ZRANGE', aside, 0, 0, 'WITHSCORES')
  if first[2] then oldest = tonumber(first[2]) end
  for _, group in ipairs(call('XINFO', 'GROUPS', q)) do
    local facts = {}
    for i = 1, #group, 2 do facts[group[i]] = group[i + 1] end
    if facts['name'] == GROUP then
      local fresh = call('XRANGE', q, '(' .. facts['last-delivered-id'], '+', 'COUNT', 1)[1]
      local at = fresh and tonumber((entry(fresh[1]) or {}).at)
      if at and (oldest < 0 or at < oldest) then oldest = at end
    end
  end
  return {call('XLEN', q) + call('ZCARD', aside), pending[1], ahead, oldest, clock()}
elseif op == 'tidy' then
  -- ARGV: idle ms. Consumers that are gone and have nothing.
  local count = 0
  for _, consumer in ipairs(call('XINFO', 'CONSUMERS', q, GROUP)) do
    local facts = {}
    for i = 1, #consumer, 2 do facts[consumer[i]] = consumer[i + 1] end
    if facts['pending'] == 0 and facts['idle'] > tonumber(ARGV[4])
      and call('EXISTS', base .. 'hb:' .. facts['name']) == 0 then
      call('XGROUP', 'DELCONSUMER', q, GROUP, facts['name'])
      count = count + 1
    end
  end
  return count
end
return redis.error_reply('ERR unknown op ' .. op)
