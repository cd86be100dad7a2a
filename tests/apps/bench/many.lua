-- wrk over the fifty routes of many.py, each with an item of its own.
local n = 0

function request()
  n = n + 1
  return wrk.format("GET", "/r" .. n % 50 .. "/" .. n)
end
