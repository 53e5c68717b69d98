// NextAuth.js 4 in Next.js, as `next build` has built it: `next dev` asks the registry for newer versions. It keeps no
// token of authsvc's, so there is nothing to refresh or to sign out of.

import { createServer } from 'node:http'

process.env.NODE_ENV = 'production'
process.env.NEXTAUTH_URL = process.env.URL
process.env.NEXTAUTH_SECRET = 'only for this process, and long enough'
process.env.NEXT_TELEMETRY_DISABLED = '1'

const { default: next } = await import('next')
const app = next({ dir: new URL('.', import.meta.url).pathname })
await app.prepare()
createServer(app.getRequestHandler()).listen(Number(process.env.PORT), '127.0.0.1')
