// NextAuth.js 4 in Next.js, compiled at the first request. It keeps no token of authsvc's, so there is nothing to refresh
// or to sign out of.

import { createServer } from 'node:http'
import next from 'next'

const { PORT } = process.env
process.env.NEXTAUTH_URL = process.env.URL
process.env.NEXTAUTH_SECRET = 'only for this process, and long enough'
process.env.NEXT_TELEMETRY_DISABLED = '1'

const app = next({ dev: true, dir: import.meta.dirname, hostname: 'localhost', port: Number(PORT) })
await app.prepare()
createServer(app.getRequestHandler()).listen(Number(PORT), '127.0.0.1')
