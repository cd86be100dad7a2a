-- Prints what wrk read of its connections for each answer, bytes. Its own count leaves TLS out.
local begin

local function read()
  for line in io.lines("/proc/self/io") do
    local bytes = line:match("^rchar: (%d+)")
    if bytes then return tonumber(bytes) end
  end
end

function setup()
  begin = read()
end

function done(summary)
  print(string.format("bytes per answer: %.2f", (read() - begin) / summary.requests))
end
