// A provider of OpenID Connect, which others wrote, with pages to sign in on. Everybody exists; the name they give is
// their address, and `ops` in it puts them into a group.
//
//   node provider.mjs MODULES CALLBACK...
//
// Prints its address once it listens.

import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [modules, ...callbacks] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${modules}/node_modules/oidc-provider/lib/index.js`).href);

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'tollgate', client_secret: 'hush', redirect_uris: callbacks }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        email: id,
        email_verified: !id.startsWith('unverified'),
        name: `Name of ${id}`,
        groups: id.startsWith('ops') ? ['ops'] : ['staff'],
      }),
    }),
    pkce: { required: () => true },
    cookies: { keys: ['only for tests'] },
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
