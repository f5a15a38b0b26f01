// Follows a stream that is open for longer than its access token is good for.
// The server ends it then, and refuses the token with 401: with a fresh one, the
// stream goes on after the last event.
//
//   deno run --allow-net --allow-env examples/token_refresh.ts https://api.example.com/events
//
// TOKEN_URL gives access tokens, as OAuth 2.0 has it, to the client of CLIENT_ID
// and CLIENT_SECRET.

import { connectSse } from "@x/sse";

const [url] = Deno.args;

let token = await fetchToken();
let hasWorked = false;

const sse = await connectSse(
  // Called for each attempt, which so sends the newest token.
  () => new Request(url, { headers: { Authorization: `Bearer ${token}` } }),
  {
    idleTimeout: 60_000,
    onOpen() {
      hasWorked = true;
    },
    reconnect: {
      async shouldReconnect({ response }) {
        if (response?.status !== 401) return undefined; // As for any error.
        if (!hasWorked) return false; // It is wrong, rather than expired.
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
