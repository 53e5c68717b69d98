// express-openid-connect, asked for codes (its own way is the implicit flow), with back-channel logout.

import express from 'express'
import oidc from 'express-openid-connect'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, URL, PORT } = process.env
const ended = new Map()
const store = {
  get: (id, done) => done(null, ended.get(id)),
  set: (id, value, done) => done(null, ended.set(id, value)),
  destroy: (id, done) => done(null, ended.delete(id)),
}

const app = express()
app.set('trust proxy', true)
app.use(
  oidc.auth({
    issuerBaseURL: ISSUER,
    baseURL: URL,
    clientID: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    secret: 'only for this process, and long enough',
    authRequired: false,
    authorizationParams: { response_type: 'code', scope: 'openid profile email contact:view' },
    idpLogout: true,
    routes: { postLogoutRedirect: '/bye' },
    backchannelLogout: { store },
  }),
)
app.get('/me', oidc.requiresAuth(), async (request, response) => {
  response.json({ sub: request.oidc.user.sub, userinfo: await request.oidc.fetchUserInfo() })
})
app.get('/refresh', async (request, response) => {
  const before = request.oidc.accessToken.access_token
  const after = await request.oidc.accessToken.refresh()
  response.json({ refreshed: after.access_token !== before })
})
app.get('/bye', (request, response) => response.json({ bye: !request.oidc.isAuthenticated() }))
app.listen(Number(PORT), '127.0.0.1')
