-- wrk at a given mean rate: each connection waits a random while before a request. The mean, in milliseconds, is the
-- first argument after `--`.
local mean

function init(args)
  mean = tonumber(args[1])
  math.randomseed(tonumber(tostring({}):sub(8)) or 1)
end

function delay()
  return math.random() * 2 * mean
end
