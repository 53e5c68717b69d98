export default { rewrites: async () => [{ source: '/:page(|me)', destination: '/api/me' }] }
