-- Requests for wrk. Arguments: "random FILE" asks for codes out of a file at random, and with
-- "browser" behind it, with the headers of one; "sequence PREFIX COUNT" asks for PREFIX0000000 and so
-- on, each once before any twice.
local following

-- What browsers send of what a server may look at.
local browser = {
    ["User-Agent"] = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        .. "Chrome/141.0.0.0 Safari/537.36",
    ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ["Accept-Language"] = "de-DE,de;q=0.9,en;q=0.8",
    ["Accept-Encoding"] = "gzip, deflate, br, zstd",
    ["Referer"] = "https://www.example.org/posts/2026/11/a-page-with-links",
}

-- Made ahead: one core has to keep up with the server's.
local function random(file, headers)
    local requests = {}
    for code in io.lines(file) do
        requests[#requests + 1] = wrk.format("GET", "/" .. code, headers)
    end
    math.randomseed(os.time())
    return function()
        return requests[math.random(#requests)]
    end
end

local function sequence(prefix, count)
    local at = -1
    return function()
        at = (at + 1) % count
        return wrk.format("GET", string.format("/%s%07d", prefix, at))
    end
end

function init(arguments)
    if arguments[1] == "random" then
        following = random(arguments[2], arguments[3] == "browser" and browser or nil)
    else
        following = sequence(arguments[2], tonumber(arguments[3]))
    end
end

function request()
    return following()
end

-- One line that harness.py reads. Latencies are in microseconds.
function done(summary, latency)
    local errors = summary.errors
    print(string.format(
        "WRK requests=%d seconds=%.3f p50=%d p99=%d bytes=%d bad_status=%d failed=%d",
        summary.requests,
        summary.duration / 1e6,
        latency:percentile(50),
        latency:percentile(99),
        summary.bytes,
        errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
