-- The customers of customers.py for wrk, which takes a tenth of the machine's time that Python takes for them:
--
--   wrk -t1 -c420 -d1h -s customers.lua http://127.0.0.1:PORT -- 100000
--
-- Each of the 420 thinks for a second on average, and then presses the button as somebody else, one of 100,000 who have signed up.
-- At the end, or at Ctrl-C, the last line is the JSON of customers.py: answers by version and status, and broken connections.

local threads = {}

function setup(thread)
  thread:set("seed", os.time() * 64 + #threads)
  table.insert(threads, thread)
end

function init(arguments)
  users = tonumber(arguments[1])
  answers = {}
  math.randomseed(seed)
end

local function checkout_id()
  local words = {}
  for place = 1, 8 do
    words[place] = math.random(0, 0xffff)
  end
  return string.format("%04x%04x-%04x-%04x-%04x-%04x%04x%04x", unpack(words))
end

function request()
  local user = math.random(0, users - 1)
  local headers = {
    ["Cookie"] = "uid=" .. user,
    ["Authorization"] = "Bearer token-" .. user,
    ["Content-Type"] = "application/json",
  }
  local form = '{"checkout_id": "%s", "sku": "sencha", "quantity": %d, "payment_method_id": "pm_%d"}'
  return wrk.format("POST", "/checkout", headers, form:format(checkout_id(), math.random(1, 5), user))
end

function delay()
  return math.floor(-1000 * math.log(1 - math.random()))
end

function response(status, headers)
  local told = (headers["x-version"] or "nobody") .. " " .. status
  answers[told] = (answers[told] or 0) + 1
end

function done(summary)
  local total = {}
  for _, thread in ipairs(threads) do
    for told, count in pairs(thread:get("answers")) do
      total[told] = (total[told] or 0) + count
    end
  end
  local told = {}
  for answer, count in pairs(total) do
    table.insert(told, string.format('"%s": %d', answer, count))
  end
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  print(string.format('{"answers": {%s}, "broken": %d}', table.concat(told, ", "), broken))
end
