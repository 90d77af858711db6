/** Addresses as they are printed and recorded: without user, password, query and fragment. */

const address = /[a-z][a-z0-9+.-]+:\/\/.*/is;

/** Returns an address without its secrets; of one whose parts cannot be told apart only the scheme is left. */
export function publicAddress(text: string): string {
  const [scheme = "", rest = ""] = text.split(/(?<=:\/\/)(.*)/s);
  if (scheme === "file://" || !/[@?#]/.test(rest)) return text;
  // A "/" or "#" in a password ends the host: what follows holds an "@", and may be the rest of the password.
  if (!URL.canParse(text)) return `${scheme}…`;
  const { host, pathname, search, hash } = new URL(text);
  return host === "" || `${pathname}${search}${hash}`.includes("@")
    ? `${scheme}…`
    : `${scheme}${host}${pathname === "/" ? "" : pathname}`;
}

/** Returns the words of a command line with addresses without secrets: "--queue=redis://host". */
export const publicWords = (words: readonly string[]): readonly string[] =>
  words.map((word) => word.replace(address, publicAddress));

/** Returns what replaces the addresses among the words of a command line in any text, also in parts of an address. */
export function secretsHidden(words: readonly string[]): (text: string) => string {
  const found = words.flatMap((word) => address.exec(word) ?? []).filter((one) => publicAddress(one) !== one);
  const credentials = found.flatMap((one) => /(?<=:\/\/).+@/s.exec(one) ?? []);
  return (text) => {
    let shown = text;
    for (const one of found) shown = shown.replaceAll(one, publicAddress(one));
    for (const one of credentials) shown = shown.replaceAll(one, "");
    return shown;
  };
}
