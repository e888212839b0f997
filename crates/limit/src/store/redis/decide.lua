-- Decides all charges of one request at one moment, and charges all of them or none.
--
-- KEYS  the keys, each once.
-- ARGV  for each charge: number of its key, algorithm, what is wanted (0 a peek, 1 a charge, 2 a
--       charge above the limit, which never passes, 3 to give units back), whether it binds (1 or 0),
--       and the numbers of its algorithm; then, of units to give back, the moment since which they
--       count. Charges that bind come first.
--
-- A state is '<Bddd': the algorithm and three whole numbers. Behind that of a log come its entries,
-- '<dd': moment and cost, the oldest first.
--
--   1 GCRA, 2 token bucket, 3 leaky bucket, 4 leaky queue
--              when the bucket is empty: microseconds, and l-ths of the next one; last charge
--   5 fixed window      start, used
--   6 sliding counter   start, current, previous
--   7 sliding log       used, newest
--
-- Answers: now, whether the request passes (1 or 0), the four numbers of each state as it was
-- found, and for each charge whether it passes (1 or 0) and, of a log, what is used, the newest
-- moment, and the moment of the entry that has to go for the charge to pass (-1 if there is none).
--
-- Numbers here are doubles. Each of them is a whole number of at most 2^53, so all sums are exact;
-- the only products, those of a sliding counter, are taken in three limbs. Moments are microseconds
-- since 1970 and durations at most 100 years: below 2^53 until the year 2155.

local SLACK_MS = 1000
local HEADER, ENTRY = '<Bddd', '<dd'
local HEADER_BYTES, ENTRY_BYTES = 25, 16

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function fetch(key)
    local raw = redis.call('GET', key)
    if not raw then
        return { 0, 0, 0, 0 }
    end
    local tag, a, b, c = struct.unpack(HEADER, raw)
    return { tag, a, b, c, raw = raw }
end

local function copy(kept, tag)
    if kept[1] ~= tag then
        return { tag, 0, 0, 0, raw = '', head = 1, added = 0 }
    end
    return { tag, kept[2], kept[3], kept[4], raw = kept.raw, head = HEADER_BYTES + 1, added = 0 }
end

-- a * b in limbs of 26 bits, for a up to 2^53 and b below 2^45. No step passes 2^53.
local LIMB = 67108864
local function multiply(a, b)
    local a0, b0 = math.fmod(a, LIMB), math.fmod(b, LIMB)
    local a1, b1 = (a - a0) / LIMB, (b - b0) / LIMB
    local low, left, right = a0 * b0, a1 * b0, a0 * b1
    local digit0, left0, right0 = math.fmod(low, LIMB), math.fmod(left, LIMB), math.fmod(right, LIMB)
    local middle = (low - digit0) / LIMB + left0 + right0
    local digit1 = math.fmod(middle, LIMB)
    local high = a1 * b1 + (left - left0) / LIMB + (right - right0) / LIMB + (middle - digit1) / LIMB
    return high, digit1, digit0
end

local function product_above(a, b, c, d)
    local a2, a1, a0 = multiply(a, b)
    local c2, c1, c0 = multiply(c, d)
    if a2 ~= c2 then
        return a2 > c2
    elseif a1 ~= c1 then
        return a1 > c1
    end
    return a0 > c0
end

-- Each steps the state and answers whether the charge passes; a state that was charged knows until
-- when it has to be kept.

-- What the charge adds, the brim and the patience of a queue are times: microseconds and l-ths.
local function bucket(state, wanted, l, add, add_part, brim, brim_part, patience, patience_part, since)
    local tag, when = state[1], now
    if (tag == 2 or tag == 3) and state[4] > when then
        when = state[4]
    end
    local ahead, part = state[2] - when, math.min(state[3], l - 1)
    if ahead < 0 then
        ahead, part = 0, 0
    end
    if wanted == 3 then
        -- What is left of the units if they were alone.
        local left = add - math.max(when - since, 0)
        if (left < 0 or (left == 0 and add_part == 0)) or (ahead == 0 and part == 0) then
            return true
        end
        ahead, part = ahead - left, part - add_part
        if part < 0 then
            ahead, part = ahead - 1, part + l
        end
        if ahead < 0 then
            ahead, part = 0, 0
        end
        state[2], state[3], state[4] = when + ahead, part, when
        state.keep_until = when + ahead + 1
        return true
    end
    if wanted ~= 1 then
        return wanted == 0
    end
    local up, up_part = ahead + add, part - (l - add_part)
    if up_part < 0 then
        up_part = part + add_part
    else
        up = up + 1
    end
    if up > brim or (up == brim and up_part > brim_part) then
        return false
    end
    if tag == 4 and (ahead > patience or (ahead == patience and part > patience_part)) then
        return false
    end
    state[2], state[3], state[4] = when + up, up_part, when
    state.keep_until = when + up + 1
    return true
end

local function fixed_window(state, wanted, window, limit, cost, since)
    if wanted == 3 then
        if since - math.fmod(since, window) == state[2] then
            state[3] = math.max(state[3] - cost, 0)
            state.keep_until = state[2] + window
        end
        return true
    end
    local when = math.max(now, state[2])
    local start = when - math.fmod(when, window)
    local used = state[3]
    if state[2] < start then
        used = 0
    end
    if wanted ~= 1 then
        return wanted == 0
    end
    if cost > limit - used then
        return false
    end
    state[2], state[3], state[4] = start, used + cost, 0
    state.keep_until = start + window
    return true
end

local function sliding_counter(state, wanted, window, limit, cost, since)
    if wanted == 3 then
        local age = state[2] - (since - math.fmod(since, window))
        if age == 0 then
            state[3] = math.max(state[3] - cost, 0)
        elseif age == window then
            state[4] = math.max(state[4] - cost, 0)
        else
            return true
        end
        state.keep_until = state[2] + 2 * window
        return true
    end
    local when = math.max(now, state[2])
    local start, current, previous = state[2], state[3], state[4]
    local turned = when - math.fmod(when, window)
    if turned > start then
        if turned - start <= window then
            current, previous = 0, current
        else
            current, previous = 0, 0
        end
        start = turned
    end
    if wanted ~= 1 then
        return wanted == 0
    end
    -- current + cost + previous * (window - elapsed) / window <= limit
    local elapsed = math.min(when - start, window)
    local room = limit - cost - current
    if room < 0 or product_above(previous, window - elapsed, room, window) then
        return false
    end
    state[2], state[3], state[4] = start, current + cost, previous
    state.keep_until = start + 2 * window
    return true
end

local function forget(state, when, window)
    local raw, head, used = state.raw, state.head, state[2]
    while head <= #raw do
        local at, cost = struct.unpack(ENTRY, raw, head)
        if when - at < window then
            break
        end
        used, head = used - cost, head + ENTRY_BYTES
    end
    state.head, state[2] = head, used
end

-- The moment of the last of the oldest entries that hold so much between them.
local function freed_at(state, need)
    local raw, head, freed = state.raw, state.head, 0
    while head <= #raw do
        local at, cost = struct.unpack(ENTRY, raw, head)
        if cost >= need - freed then
            return at
        end
        freed, head = freed + cost, head + ENTRY_BYTES
    end
    return state.added >= need - freed and state[3] or -1
end

-- Takes out what was admitted at this moment, up to so much.
local function take_out(state, window, cost, since)
    local raw, head = state.raw, state.head
    while head <= #raw do
        local at, there = struct.unpack(ENTRY, raw, head)
        if at == since then
            local out = math.min(cost, there)
            local kept = there > out and struct.pack(ENTRY, at, there - out) or ''
            raw = string.sub(raw, state.head, head - 1) .. kept .. string.sub(raw, head + ENTRY_BYTES)
            local newest = #raw > 0 and struct.unpack(ENTRY, raw, #raw - ENTRY_BYTES + 1) or 0
            state.raw, state.head, state[2], state[3] = raw, 1, state[2] - out, newest
            state.keep_until = newest + window
            return
        end
        head = head + ENTRY_BYTES
    end
end

local function sliding_log(state, wanted, window, limit, cost, since)
    if wanted == 3 then
        take_out(state, window, cost, since)
        return true, -1
    end
    local when = math.max(now, state[3])
    forget(state, when, window)
    if wanted ~= 1 then
        return wanted == 0, -1
    end
    if cost > limit - state[2] then
        return false, freed_at(state, state[2] - (limit - cost))
    end
    state[2], state[3], state.added = state[2] + cost, when, state.added + cost
    state.keep_until = when + window
    return true, -1
end

local function written(state)
    local header = struct.pack(HEADER, state[1], state[2], state[3], state[4])
    if state[1] ~= 7 then
        return header
    elseif state.added == 0 then
        return header .. string.sub(state.raw, state.head)
    end
    local raw, cost, last = state.raw, state.added, #state.raw
    if state.head <= last then
        local at, before = struct.unpack(ENTRY, raw, last - ENTRY_BYTES + 1)
        if at == state[3] then
            cost, last = cost + before, last - ENTRY_BYTES
        end
    end
    return header .. string.sub(raw, state.head, last) .. struct.pack(ENTRY, state[3], cost)
end

local STEP = {
    bucket, bucket, bucket, bucket, fixed_window, sliding_counter, sliding_log,
}
local NUMBERS = { 7, 7, 7, 7, 3, 3, 3 }

local kept, states = {}, {}
for number, key in ipairs(KEYS) do
    kept[number] = fetch(key)
end

local passes, charges = true, {}
local at = 1
while at <= #ARGV do
    local key, tag = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    local wanted, binds = tonumber(ARGV[at + 2]), ARGV[at + 3] == '1'
    local numbers = {}
    local count = NUMBERS[tag] + (wanted == 3 and 1 or 0)
    for number = 1, count do
        numbers[number] = tonumber(ARGV[at + 3 + number])
    end
    at = at + 4 + count

    local state = states[key]
    if not state then
        state = copy(kept[key], tag)
    elseif state[1] ~= tag then
        local keep_until = state.keep_until
        state = copy({ 0 }, tag)
        state.keep_until = keep_until
    end
    states[key] = state
    local allowed, frees = STEP[tag](state, wanted, unpack(numbers))
    local charge = { key, tag, numbers[1], allowed, 0, 0, -1 }
    if tag == 7 then
        charge[5], charge[6], charge[7] = state[2], state[3], frees
    end
    charges[#charges + 1] = charge
    if binds and not allowed then
        passes = false
    end
end

if passes then
    for number, state in pairs(states) do
        if state.keep_until then
            local left = math.max(state.keep_until - now, 0)
            local expiry = math.ceil(left / 1000) + SLACK_MS
            redis.call('SET', KEYS[number], written(state), 'PX', string.format('%.0f', expiry))
        end
    end
end

local answer = { now, passes and 1 or 0 }
for _, state in ipairs(kept) do
    for number = 1, 4 do
        answer[#answer + 1] = state[number]
    end
end
for _, charge in ipairs(charges) do
    if charge[2] == 7 and not passes then
        -- Nothing was charged: what it looks like without.
        local state = copy(kept[charge[1]], 7)
        forget(state, math.max(now, state[3]), charge[3])
        charge[5], charge[6] = state[2], state[3]
    end
    answer[#answer + 1] = charge[4] and 1 or 0
    answer[#answer + 1] = charge[5]
    answer[#answer + 1] = charge[6]
    answer[#answer + 1] = charge[7]
end
return answer
