// Verify tokens with jose as its own documentation shows it: nothing but the issuer's metadata is known.
//
//   node verify.mjs ISSUER AUDIENCE < {"name": "token", …}    ->    {"name": {"claims": …} | {"refused": "CODE"}, …}

import { readFileSync } from 'node:fs'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const [issuer, audience] = process.argv.slice(2)
const metadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json()
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri))
const verdicts = {}
for (const [name, token] of Object.entries(JSON.parse(readFileSync(0, 'utf8')))) {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys, {
      issuer: metadata.issuer,
      audience,
      typ: 'at+jwt',
      algorithms: ['ES256'],
      requiredClaims: ['sub', 'client_id', 'iat', 'exp', 'jti', 'acr', 'auth_time'],
    })
    verdicts[name] = { claims: payload, header: protectedHeader }
  } catch (error) {
    verdicts[name] = { refused: error.code ?? String(error) }
  }
}
console.log(JSON.stringify(verdicts))
