import type { ReconnectOptions } from "../../mod.ts";

/** The argument of `onReconnect`. */
export type ReconnectInfo = Parameters<
  NonNullable<ReconnectOptions["onReconnect"]>
>[0];
