// Auth.js (next-auth's core) in Express. It keeps no session of authsvc's, so there is nothing to refresh or to sign out of.

import { ExpressAuth, getSession } from '@auth/express'
import express from 'express'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, PORT } = process.env
const config = {
  trustHost: true,
  secret: 'only for this process, and long enough',
  providers: [
    {
      id: 'authsvc',
      name: 'authsvc',
      type: 'oidc',
      issuer: ISSUER,
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      checks: ['pkce', 'state', 'nonce'],
      idToken: false, // name and address are in userinfo alone
    },
  ],
  callbacks: {
    redirect: ({ baseUrl }) => `${baseUrl}/me`,
    jwt: ({ token, account }) => (account ? { ...token, patient: account.providerAccountId } : token),
    session: ({ session, token }) => ({ ...session, patient: token.patient }),
  },
}

const app = express()
app.set('trust proxy', true)
app.use(/^\/auth\/(.*)$/, ExpressAuth(config))
app.get('/me', async (request, response) => {
  const session = await getSession(request, config)
  if (!session) return response.status(401).json({})
  response.json({ sub: session.patient, userinfo: { email: session.user.email } })
})
app.listen(Number(PORT), '127.0.0.1')
