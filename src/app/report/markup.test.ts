import { expect, test } from "vitest";
import { escapeText, html, trusted } from "./markup.ts";

test("html escapes inserted text in elements and in attributes", () => {
  const name = `"><script>alert('&')</script>`;
  const { markup } = html`<td title="${name}">${name}</td>`;
  expect(markup).toBe(
    '<td title="&#34;&#62;&#60;script&#62;alert(&#39;&#38;&#39;)&#60;/script&#62;">&#34;&#62;&#60;script&#62;alert(&#39;&#38;&#39;)&#60;/script&#62;</td>',
  );
});

test("html inserts templates and lists unchanged, and nothing for undefined and false", () => {
  const items = ["a", "<b>"].map((name) => html`<li>${name}</li>`);
  expect(html`<ul>${items}${undefined}${false}</ul>${3}`.markup).toBe("<ul><li>a</li><li>&#60;b&#62;</li></ul>3");
  expect(html`${trusted("<hr>")}`.markup).toBe("<hr>");
});

test("replaces characters that control the terminal, reverse the text or have no width", () => {
  expect(escapeText("fc\u200b1\u2060\ufeff")).toBe("fc\ufffd1\ufffd\ufffd");
  expect(escapeText("a\u0000b\u202ec\u2066d\u001be")).toBe("a\ufffdb\ufffdc\ufffdd\ufffde");
  expect(escapeText("Gewicht ü 層\n")).toBe("Gewicht ü 層\n");
});
