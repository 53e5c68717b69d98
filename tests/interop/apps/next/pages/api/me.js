import { getServerSession } from 'next-auth/next'
import { options } from './auth/[...nextauth]'

export default async function me(request, response) {
  const session = await getServerSession(request, response, options)
  if (!session) return response.status(401).json({})
  response.json({ sub: session.patient, userinfo: { email: session.user.email } })
}
