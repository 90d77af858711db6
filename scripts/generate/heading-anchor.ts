/** Returns the anchor that GitHub gives a heading: "What `a` is, now" → "what-a-is-now". */
export const headingAnchor = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(/\s/g, "-");
