-- wrk as a node: it polls, and posts the result of each job.
local bearer = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
  .. "eyJleHAiOjQxMDI0NDQ4MDB9.cTyXsC8pWaWJxVtkGJdCuKX7hNqxzYxTJXHvSTmWe8M"
local jobs, first, last = {}, 1, 0
local poll

function init()
  poll = wrk.format("GET", "/worker/get_job?node_version=0.0.4", { ["Authorization"] = bearer })
end

function request()
  if first > last then return poll end
  local job = jobs[first]
  jobs[first] = nil
  first = first + 1
  return wrk.format("POST", "/worker/update_result",
    { ["Authorization"] = bearer, ["Content-Type"] = "application/json" },
    '{"job_id":"' .. job[1] .. '","api_key":"' .. job[2] .. '","model_name":"' .. job[3]
    .. '","result":{"message":{"role":"assistant","content":"word"}},"status":"success"}')
end

function response(status, headers, body)
  local id, key, model = body:match('"job_id":"([^"]*)","api_key":"([^"]*)","model":"([^"]*)"')
  if id then
    last = last + 1
    jobs[last] = { id, key, model }
  end
end
