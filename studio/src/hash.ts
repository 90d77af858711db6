import { Failure } from "./backend/backend.ts";

/** Returns the SHA-256 of bytes in hexadecimal. @throws Failure on pages without HTTPS, where browsers compute none. */
export async function sha256Of(bytes: BufferSource): Promise<string> {
  if (globalThis.isSecureContext === false)
    throw new Failure("This page was not loaded by HTTPS.", "E_UNSUPPORTED", "Open it by HTTPS, or on this computer.");
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
