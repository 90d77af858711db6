/** Returns an address without secrets; only its scheme if its parts are ambiguous. */
export function publicAddress(text: string): string {
  const [scheme = "", rest = ""] = text.split(/(?<=:\/\/)(.*)/s);
  if (scheme === "file://" || !/[@?#]/.test(rest)) return text;
  // An unencoded "/" or "#" in a password ends the host. The remaining text then contains an "@".
  if (!URL.canParse(text)) return `${scheme}…`;
  const { host, pathname, search, hash } = new URL(text);
  return host === "" || `${pathname}${search}${hash}`.includes("@")
    ? `${scheme}…`
    : `${scheme}${host}${pathname === "/" ? "" : pathname}`;
}

/** Pattern of an address. The length of the scheme is limited, so that the search takes linear time. */
const address = /[a-z][a-z0-9+.-]{1,30}:\/\/.*/is;

export const publicWords = (words: readonly string[]): readonly string[] =>
  words.map((word) => word.replace(address, publicAddress));

/** Returns a function that removes the secrets in a command line from a text. */
export function createSecretRemover(words: readonly string[]): (text: string) => string {
  const addresses = words.flatMap((word) => address.exec(word) ?? []).filter((text) => publicAddress(text) !== text);
  const credentials = addresses.flatMap((text) => /(?<=:\/\/).+@/s.exec(text) ?? []);
  return (text) => {
    let cleanedText = text;
    for (const secret of addresses) cleanedText = cleanedText.replaceAll(secret, publicAddress(secret));
    for (const secret of credentials) cleanedText = cleanedText.replaceAll(secret, "");
    return cleanedText;
  };
}
