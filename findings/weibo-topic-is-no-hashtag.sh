#!/usr/bin/env bash
# twitter-text and @atproto/api: a Chinese topic is no hashtag to one and a whole sentence to the other.
#
# One expects: the hashtag of a Chinese post is the same in both, up to the marks that each network allows.
# What happens: Weibo's `#topic#` is no hashtag to twitter-text, because a "#" follows; and one glued to the
#   character before it, as Chinese is written, is found by neither. @atproto/api goes on to the next white
#   space, through the second "#", commas and full stops: the tag is the sentence. With a space behind,
#   it is the topic.
# Source: twitter-text, its endHashtagMatch (a "#" behind a tag undoes it) and hashtagBoundary; in
#   bluesky-social/atproto pull request #1651 the tests hold 'its a #double#rainbow' → '#double#rainbow'
#   and 'works #with,punctuation' for right, where the mark is an ASCII one inside a word.
# Why it matters here: accounts that push a topic are found by their shared hashtags. From posts carried
#   over from Weibo one library gives no hashtag, the other gives sentences that no two posts share.
# Guess before running: twitter-text finds no hashtag in `#好吃的面#`, but finds the tag glued into Chinese
#   text, as X shows it; @atproto/api takes `好吃的面#` or the whole sentence, and stops at a full-width
#   comma.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --ignore-scripts @atproto/api@0.21.0 twitter-text@3.1.0
cat >find.cjs <<'J'
const assert = require('node:assert');
const twitter = require('twitter-text');
const { RichText } = require('@atproto/api');
for (const name of ['twitter-text', '@atproto/api'])
  console.log(name, JSON.parse(require('node:fs').readFileSync(`node_modules/${name}/package.json`)).version);
const bluesky = (text) => {
  const rich = new RichText({ text });
  rich.detectFacetsWithoutResolution();
  return (rich.facets || []).map((facet) => facet.features[0].tag);
};
const posts = {  // the post: [by twitter-text, by @atproto/api]
  'On #tea, again': [['tea'], ['tea']],
  '#面条 很好吃': [['面条'], ['面条']],
  '#好吃的面# 今天又去了': [[], ['好吃的面']],
  '#好吃的面#今天又去了，很好': [[], ['好吃的面#今天又去了，很好']],
  '#面条，很好吃': [['面条'], ['面条，很好吃']],
  '今天又去#好吃的面#了': [[], []],
  '今天#面条 很好': [[], []],
};
for (const [post, expected] of Object.entries(posts)) {
  const seen = [twitter.extractHashtags(post), bluesky(post)];
  console.log(post, '|', seen[0], '|', seen[1]);
  assert.deepStrictEqual(seen, expected);
}
console.log('as found: none by one, a sentence by the other');
J
node find.cjs
