// passport-openidconnect, which has no PKCE and reads no metadata: its addresses are given to it.

import express from 'express'
import session from 'express-session'
import passport from 'passport'
import OpenIDConnectStrategy from 'passport-openidconnect'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, URL, PORT } = process.env
const strategy = new OpenIDConnectStrategy(
  {
    issuer: ISSUER,
    authorizationURL: `${ISSUER}/oauth2/authorize`,
    tokenURL: `${ISSUER}/oauth2/token`,
    userInfoURL: `${ISSUER}/oauth2/userinfo`,
    clientID: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    callbackURL: `${URL}/callback`,
    scope: ['profile', 'email', 'contact:view'],
    skipUserProfile: false,
  },
  (issuer, profile, context, idToken, done) => done(null, { sub: profile.id, emails: profile.emails, idToken }),
)
passport.use(strategy)
passport.serializeUser((user, done) => done(null, user))
passport.deserializeUser((user, done) => done(null, user))

const app = express()
app.set('trust proxy', true)
app.use(session({ secret: 'only for this process', resave: false, saveUninitialized: false, cookie: { secure: true } }))
app.use(passport.session())
app.get('/login', passport.authenticate('openidconnect'))
app.get('/callback', passport.authenticate('openidconnect', { successRedirect: '/me', failureMessage: true }))
app.get('/me', (request, response) => {
  if (!request.user) return response.status(401).json({})
  response.json({ sub: request.user.sub, userinfo: { email: request.user.emails[0].value } })
})
// The library has nothing for sign-out; it is one redirect.
app.get('/logout', (request, response, next) => {
  const there = { id_token_hint: request.user.idToken, post_logout_redirect_uri: `${URL}/bye` }
  request.logout((error) => (error ? next(error) : response.redirect(`${ISSUER}/oauth2/logout?${new URLSearchParams(there)}`)))
})
app.get('/bye', (request, response) => response.json({ bye: !request.user }))
app.listen(Number(PORT), '127.0.0.1')
