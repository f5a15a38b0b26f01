// Follows a stream that is open for longer than its access token is valid. The
// server closes the stream then, and refuses the token with status 401. This
// program gets a new token, and the stream continues after the last event.
//
//   deno run --allow-net --allow-env examples/token_refresh.ts https://api.example.com/events
//
// Set these environment variables: TOKEN_URL, the token endpoint of an OAuth 2.0
// server, and CLIENT_ID and CLIENT_SECRET, the client credentials. Outside of
// this repository, run `deno add jsr:@x/sse` first.

import { connectSse } from "@x/sse";

const [url] = Deno.args;

let token = await fetchToken();
let hasWorked = false;

const sse = await connectSse(
  // Called for each attempt, so that each request has the newest token.
  () => new Request(url, { headers: { Authorization: `Bearer ${token}` } }),
  {
    idleTimeout: 60_000,
    onOpen() {
      hasWorked = true;
    },
    reconnect: {
      async shouldReconnect({ response }) {
        if (response?.status !== 401) return undefined; // The default.
        if (!hasWorked) return false; // The token is wrong, not expired.
        token = await fetchToken();
        hasWorked = false;
        return true;
      },
    },
  },
);

for await (const event of sse) console.log(event.id, event.data);

async function fetchToken(): Promise<string> {
  const response = await fetch(Deno.env.get("TOKEN_URL")!, {
    method: "POST",
    signal: AbortSignal.timeout(30_000), // `idleTimeout` does not apply here.
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: Deno.env.get("CLIENT_ID")!,
      client_secret: Deno.env.get("CLIENT_SECRET")!,
    }),
  });
  if (!response.ok) {
    throw new Error(`No token: ${response.status} ${await response.text()}`);
  }
  const { access_token } = await response.json();
  return access_token;
}
