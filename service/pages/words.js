// The page's words, which came with it: say("saved"), say("found", { n: 3 }).
const say = (() => {
  "use strict";
  const { language, texts } = JSON.parse(document.getElementById("words").textContent);
  const forms = new Intl.PluralRules(language);
  const numbers = new Intl.NumberFormat(language);

  function one(key, values = {}) {
    const entry = texts[key];
    if (entry === undefined) throw new Error("there is no text " + key);
    const text = typeof entry === "string" ? entry : entry[forms.select(values.n)] ?? entry.other;
    return text.replace(/\{(\w+)\}/g, (_, name) => {
      if (!Object.hasOwn(values, name)) throw new Error(key + ": there is no " + name);
      return name === "n" ? numbers.format(values.n) : String(values[name]);
    });
  }

  const moment = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { dateStyle: "medium", timeStyle: "short" });
  one.when = (at) => moment.format(new Date(at));
  return one;
})();
