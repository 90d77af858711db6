/** Compares the measured numbers of a text with the logs of `bench/`. */

const measured = /(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)? (?:[kMG]i?B|%|×|points?|nats|dB|M(?!\w))/g;

const withPlainSigns = (text: string): string => text.replaceAll(/[\u00a0\u202f]/g, " ").replaceAll("**", "");

/** Returns the numbers with a unit of size, share, ratio or quality, without their signs: "1.07 ×". */
export function measuredNumbers(text: string): readonly string[] {
  return withPlainSigns(text).match(measured) ?? [];
}

/** Returns the numbers that the log does not contain. Commas between thousands are ignored. */
export function numbersWithoutSource(numbers: readonly string[], log: string): readonly string[] {
  const withoutCommas = (text: string): string => text.replaceAll(/(?<=\d),(?=\d)/g, "");
  const text = withoutCommas(withPlainSigns(log));
  return numbers.filter(
    (number) => !new RegExp(`(?<![\\w.])${withoutCommas(number).replaceAll(".", "\\.")}(?![\\w.]*\\d)`).test(text),
  );
}
