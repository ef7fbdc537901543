// autocannon as a node: it polls, and posts the result of each job. Arguments: URL, connections.
'use strict'

const autocannon = require('autocannon')

const authorization =
  'Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDB9.cTyXsC8pWaWJxVtkGJdCuKX7hNqxzYxTJXHvSTmWe8M'
const [url, connections] = process.argv.slice(2)

autocannon({
  url,
  connections: Number(connections),
  duration: 3600,
  requests: [
    {
      method: 'GET',
      path: '/worker/get_job?node_version=0.0.4',
      headers: { authorization },
      onResponse: (status, body, context) => {
        context.job = JSON.parse(body).job_data
      }
    },
    {
      method: 'POST',
      path: '/worker/update_result',
      headers: { authorization, 'content-type': 'application/json' },
      setupRequest: (request, { job }) => {
        if (!job) return null
        request.body = JSON.stringify({
          job_id: job.job_id,
          api_key: job.api_key,
          model_name: job.model,
          result: { message: { role: 'assistant', content: 'word' } },
          status: 'success'
        })
        return request
      }
    }
  ]
})
