// A relying party that does as it is told, with openid-client as its own documentation shows it.
//
//   node openid-client.mjs < {"issuer", "client_id", "secret" | "key", "redirect_uri"}   one line
//                          < {"do": "begin", …}                                          and one for each act
//
// Each line is answered by one: what came of it, or {"refused": {"code", "error", "said"}}. "key" is a private JWK.

import { createInterface } from 'node:readline'
import { createRemoteJWKSet, importJWK, jwtVerify } from 'jose'
import * as client from 'openid-client'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const told = async () => JSON.parse((await lines.next()).value ?? 'null')
const tell = (document) => process.stdout.write(`${JSON.stringify(document)}\n`)

const us = await told()
const config = await client.discovery(new URL(us.issuer), us.client_id, undefined, await authentication())
const metadata = config.serverMetadata()
const begun = new Map() // by state: what the answer is checked against

async function authentication() {
  if (us.secret) return client.ClientSecretBasic(us.secret)
  if (us.key) return client.PrivateKeyJwt({ key: await importJWK(us.key, us.key.alg), kid: us.key.kid })
  return client.None()
}

const acts = {
  async begin({ parameters, verifier = client.randomPKCECodeVerifier() }) {
    const [state, nonce] = [client.randomState(), client.randomNonce()]
    begun.set(state, { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, ...maxAge(parameters) })
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: us.redirect_uri,
      scope: 'openid',
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
      ...parameters,
    })
    return { url: url.href, state }
  },

  async finish({ url, state }) {
    return granted(await client.authorizationCodeGrant(config, new URL(url), begun.get(state)))
  },

  async refresh({ token }) {
    return granted(await client.refreshTokenGrant(config, token))
  },

  userinfo: ({ token, subject }) => client.fetchUserInfo(config, token, subject),

  introspect: ({ token }) => client.tokenIntrospection(config, token),

  async revoke({ token }) {
    await client.tokenRevocation(config, token)
    return {}
  },

  async end({ parameters }) {
    return { url: client.buildEndSessionUrl(config, parameters).href }
  },

  // The library has nothing for these; its own helper for signatures does, as OpenID Connect Back-Channel Logout §2.6 asks.
  async logged_out({ token }) {
    const keys = createRemoteJWKSet(new URL(metadata.jwks_uri))
    const { payload, protectedHeader } = await jwtVerify(token, keys, {
      issuer: metadata.issuer,
      audience: us.client_id,
      typ: 'logout+jwt',
      algorithms: ['ES256'],
      requiredClaims: ['iat', 'exp', 'jti', 'events'],
    })
    return { claims: payload, header: protectedHeader }
  },
}

function maxAge(parameters = {}) {
  return parameters.max_age === undefined ? {} : { maxAge: Number(parameters.max_age) }
}

function granted(tokens) {
  return { ...tokens, claims: tokens.claims() }
}

tell(metadata)
for (let act = await told(); act !== null; act = await told()) {
  try {
    tell(await acts[act.do](act))
  } catch (error) {
    const said = [error.message, error.cause?.message].filter(Boolean).join(': ')
    tell({ refused: { code: error.code ?? '', error: error.error ?? '', said } })
  }
}
