// Its OpenID Connect client expects RS256 unless `client: { id_token_signed_response_alg: 'ES256' }` is here.

import NextAuth from 'next-auth'

const { ISSUER, CLIENT_ID, CLIENT_SECRET } = process.env

export const options = {
  providers: [
    {
      id: 'authsvc',
      name: 'authsvc',
      type: 'oauth',
      wellKnown: `${ISSUER}/.well-known/openid-configuration`,
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      authorization: { params: { scope: 'openid profile email contact:view' } },
      checks: ['pkce', 'state', 'nonce'],
      userinfo: { request: ({ client, tokens }) => client.userinfo(tokens) }, // name and address are there alone
      profile: ({ sub, email }) => ({ id: sub, email }),
    },
  ],
  callbacks: {
    redirect: ({ baseUrl }) => `${baseUrl}/me`,
    session: ({ session, token }) => ({ ...session, patient: token.sub }),
  },
}

export default NextAuth(options)
