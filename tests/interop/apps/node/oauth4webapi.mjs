// oauth4webapi: the checks of OAuth 2.0 and OpenID Connect one by one, around a small server of Node's own.

import { createServer } from 'node:http'
import { randomUUID } from 'node:crypto'
import * as oauth from 'oauth4webapi'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, PORT } = process.env
const HERE = process.env.URL
const issuer = new URL(ISSUER)
const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer))
const client = { client_id: CLIENT_ID }
const secret = oauth.ClientSecretBasic(CLIENT_SECRET)
const callback = `${HERE}/callback`
const visits = new Map() // by cookie

const pages = {
  async '/login'(visit) {
    Object.assign(visit, { verifier: oauth.generateRandomCodeVerifier(), state: oauth.generateRandomState() })
    visit.nonce = oauth.generateRandomNonce()
    const there = new URL(server.authorization_endpoint)
    there.search = new URLSearchParams({
      client_id: CLIENT_ID,
      redirect_uri: callback,
      response_type: 'code',
      scope: 'openid contact:view',
      code_challenge: await oauth.calculatePKCECodeChallenge(visit.verifier),
      code_challenge_method: 'S256',
      state: visit.state,
      nonce: visit.nonce,
    })
    return there.href
  },

  async '/callback'(visit, url) {
    const answer = oauth.validateAuthResponse(server, client, url, visit.state)
    const response = await oauth.authorizationCodeGrantRequest(server, client, secret, answer, callback, visit.verifier)
    const checks = { expectedNonce: visit.nonce, requireIdToken: true }
    visit.tokens = await oauth.processAuthorizationCodeResponse(server, client, response, checks)
    visit.sub = oauth.getValidatedIdTokenClaims(visit.tokens).sub
    await oauth.validateApplicationLevelSignature(server, response)
    return '/me'
  },

  async '/me'(visit) {
    if (!visit.sub) return {}
    const response = await oauth.userInfoRequest(server, client, visit.tokens.access_token)
    return { sub: visit.sub, userinfo: await oauth.processUserInfoResponse(server, client, visit.sub, response) }
  },

  async '/refresh'(visit) {
    const response = await oauth.refreshTokenGrantRequest(server, client, secret, visit.tokens.refresh_token)
    const before = visit.tokens
    visit.tokens = { ...before, ...(await oauth.processRefreshTokenResponse(server, client, response)) }
    return { refreshed: visit.tokens.access_token !== before.access_token }
  },

  '/logout'(visit) {
    const there = new URL(server.end_session_endpoint)
    there.search = new URLSearchParams({ id_token_hint: visit.tokens.id_token, post_logout_redirect_uri: `${HERE}/bye` })
    delete visit.sub
    return there.href
  },

  '/bye': (visit) => ({ bye: !visit.sub }),
}

createServer(async (request, response) => {
  const url = new URL(request.url, HERE)
  const id = /visit=([^;]+)/.exec(request.headers.cookie ?? '')?.[1] ?? randomUUID()
  const visit = visits.get(id) ?? {}
  visits.set(id, visit)
  response.setHeader('Set-Cookie', `visit=${id}; Secure; HttpOnly; SameSite=Lax; Path=/`)
  try {
    const answer = (await pages[url.pathname]?.(visit, url)) ?? {}
    if (typeof answer === 'string') return response.writeHead(302, { Location: answer }).end()
    response.writeHead(url.pathname === '/me' && !visit.sub ? 401 : 200, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(answer))
  } catch (error) {
    console.error(error)
    response.writeHead(500).end()
  }
}).listen(Number(PORT), '127.0.0.1')
