export default {
  eslint: { ignoreDuringBuilds: true },
  outputFileTracingRoot: new URL('.', import.meta.url).pathname,
  rewrites: async () => [{ source: '/:page(|me)', destination: '/api/me' }],
}
