"""Small applications with random secrets of their own per process, and visitors who use them as real clients do.

Each notes in `wrong` every request that it could not make sense of: an unknown token or id, or a value that the client
had chosen itself (`check` seals it) and that arrived as another one.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import html
import json
import random
import re
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

__all__ = ["APPLICATIONS", "Application", "Visit", "served"]

Visit = Callable[[aiohttp.ClientSession, str, int], Awaitable[None]]


def check(*values: object) -> str:
    """Seals what a client chose, so that a server can tell whether it arrived unchanged."""
    return f"c{zlib.crc32(repr([str(value) for value in values]).encode()):08x}c"


def b64(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Application:
    """One process of an application; `seed` makes all its secrets and the first of its ids."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.wrong: list[str] = []
        self.requests = 0
        self.next_id = self.random.randrange(11, 90)
        self.key = self.random.randbytes(32)

    def token(self, size: int = 24) -> str:
        return "".join(self.random.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=size))

    def uuid(self) -> str:
        text = f"{self.random.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def number(self) -> int:
        self.next_id += 1
        return self.next_id

    def sign(self, text: str) -> str:
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()

    def refuse(self, request: web.Request, why: str, status: int = 403) -> web.Response:
        self.wrong.append(f"{request.method} {request.path_qs}: {why}")
        return web.json_response({"error": why.partition(":")[0]}, status=status)

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    def web_application(self) -> web.Application:
        @web.middleware
        async def counting(request: web.Request, handler: Any) -> web.StreamResponse:
            self.requests += 1
            answer: web.StreamResponse = await handler(request)
            return answer

        application = web.Application(middlewares=[counting])
        application.add_routes(self.routes())
        return application


class Pages(Application):
    """Pages for browsers: session cookie rotated at login, masked CSRF tokens, hidden fields, links, redirects."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.sessions: dict[str, dict[str, Any]] = {}
        self.notes: dict[int, dict[str, Any]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/login", self.login_form),
            web.post("/login", self.login),
            web.get("/account", self.account),
            web.post("/notes", self.create),
            web.get("/notes/{id}", self.note),
            web.get("/notes/{id}/edit", self.edit),
            web.post("/notes/{id}", self.save),
            web.post("/api/like", self.like),
        ]

    def masked(self, secret: str) -> str:
        """As Django does it: another text each time, which unmasks to the same secret."""
        mask = self.random.getrandbits(128)
        return f"{mask:032x}{mask ^ int(secret, 16):032x}"

    def unmasked(self, text: str) -> str:
        return f"{int(text[:32], 16) ^ int(text[32:64], 16):032x}" if re.fullmatch("[0-9a-f]{64}", text) else ""

    async def login_form(self, request: web.Request) -> web.Response:
        secret = f"{self.random.getrandbits(128):032x}"
        page = f'<form method=post><input type=hidden name=csrfmiddlewaretoken value="{self.masked(secret)}"></form>'
        answer = web.Response(text=page, content_type="text/html")
        answer.set_cookie("csrftoken", secret)
        answer.set_cookie("theme", "dark")
        return answer

    def csrf_ok(self, request: web.Request, sent: str) -> bool:
        return self.unmasked(sent) == request.cookies.get("csrftoken") != ""

    async def login(self, request: web.Request) -> web.Response:
        form = await request.post()
        if not self.csrf_ok(request, str(form["csrfmiddlewaretoken"])) or not str(form["password"]):
            return self.refuse(request, "csrf")
        answer = web.Response(status=302, headers={"Location": f"http://{request.host}/account?welcome=1"})
        sid = self.token(32)
        self.sessions[sid] = {"name": form["username"]}
        answer.set_cookie("sessionid", sid, httponly=True, samesite="Lax")
        answer.set_cookie("csrftoken", f"{self.random.getrandbits(128):032x}")
        return answer

    def user(self, request: web.Request) -> dict[str, Any] | None:
        return self.sessions.get(request.cookies.get("sessionid", ""))

    async def account(self, request: web.Request) -> web.Response:
        user = self.user(request)
        if user is None or request.cookies.get("theme") != "dark":
            return self.refuse(request, "no session")
        secret = request.cookies["csrftoken"]
        return web.Response(
            text=f"<html><head><meta name='csrf-token' content='{self.masked(secret)}'></head><body>"
            f"<form action='/notes' method=post><input type='hidden' name='csrfmiddlewaretoken'"
            f" value='{self.masked(secret)}'><input name=text></form><a href='/account?page=2'>more</a></body></html>",
            content_type="text/html",
        )

    async def create(self, request: web.Request) -> web.Response:
        user, form = self.user(request), await request.post()
        if user is None or not self.csrf_ok(request, str(form["csrfmiddlewaretoken"])):
            return self.refuse(request, "no session or csrf")
        number = self.number()
        self.notes[number] = {"user": user, "version": self.number(), "text": form["text"], "sig": self.token(16)}
        return web.Response(status=303, headers={"Location": f"/notes/{number}"})

    def own_note(self, request: web.Request) -> dict[str, Any] | None:
        note = self.notes.get(int(request.match_info["id"])) if request.match_info["id"].isdigit() else None
        return note if note is not None and note["user"] is self.user(request) else None

    async def note(self, request: web.Request) -> web.Response:
        note = self.own_note(request)
        if note is None:
            return self.refuse(request, "no such note", 404)
        link = f"/notes/{request.match_info['id']}/edit?sig={note['sig']}&amp;from=view"
        return web.Response(
            text=f"<p>{html.escape(note['text'])}</p><a href='{link}'>edit</a>", content_type="text/html"
        )

    async def edit(self, request: web.Request) -> web.Response:
        note = self.own_note(request)
        if note is None or request.query.get("sig") != note["sig"] or request.query.get("from") != "view":
            return self.refuse(request, "no such note or signature", 404)
        number = request.match_info["id"]
        return web.Response(
            text=f"<form action='/notes/{number}' method=post>"
            f"<input type=hidden name=csrfmiddlewaretoken value={self.masked(request.cookies['csrftoken'])}>"
            f"<input type=hidden name=note_id value={number}><input type=hidden name=version value={note['version']}>"
            "<input name=text></form>",
            content_type="text/html",
        )

    async def save(self, request: web.Request) -> web.Response:
        note, form = self.own_note(request), await request.post()
        if note is None or not self.csrf_ok(request, str(form["csrfmiddlewaretoken"])):
            return self.refuse(request, "no such note or csrf", 404)
        if (form["note_id"], form["version"]) != (request.match_info["id"], str(note["version"])):
            return self.refuse(request, f"stale: {form['note_id']} {form['version']}", 409)
        if form["check"] != check(form["text"], form["stars"]):
            return self.refuse(request, f"not what the client chose: {form['text']} {form['stars']}", 422)
        note["version"] = self.number()
        return web.Response(status=303, headers={"Location": f"/notes/{request.match_info['id']}"})

    async def like(self, request: web.Request) -> web.Response:
        body = await request.json()
        header = request.headers.get("X-CSRFToken", "")
        if header != request.cookies.get("csrftoken") or self.user(request) is None:
            return self.refuse(request, "double submit")
        note = self.notes.get(body["note"])
        if note is None or note["user"] is not self.user(request):
            return self.refuse(request, "no such note", 404)
        return web.json_response({"likes": 1})

    @staticmethod
    async def visit(client: aiohttp.ClientSession, base: str, number: int) -> None:
        def hidden(page: str, name: str) -> str:
            found = re.search(rf"name='?{name}'?\s+value=[\"']?(\w+)", page)
            assert found is not None, page
            return found[1]

        page = await _text(client.get(f"{base}/login"))
        form = {"username": f"user{number}", "password": "correct horse battery"}
        form["csrfmiddlewaretoken"] = hidden(page, "csrfmiddlewaretoken")
        page = await _text(client.post(f"{base}/login", data=form))  # follows to /account
        csrf = hidden(page, "csrfmiddlewaretoken")
        data = {"csrfmiddlewaretoken": csrf, "text": f"note {number}"}
        async with client.post(f"{base}/notes", data=data, allow_redirects=False) as answer:
            path = answer.headers["Location"]
        page = await _text(client.get(base + path))
        link = html.unescape(re.findall("href='([^']+)'", page)[0])
        page = await _text(client.get(base + link))
        note, version = hidden(page, "note_id"), hidden(page, "version")
        # Look-alikes: the client's own numbers happen to be those of the recorded note and its version.
        fields = {
            "csrfmiddlewaretoken": hidden(page, "csrfmiddlewaretoken"), "note_id": note, "version": version,
            "text": version, "stars": note, "check": check(version, note),
        }  # fmt: skip
        await _text(client.post(f"{base}/notes/{note}", data=fields))
        cookie = next(c.value for c in client.cookie_jar if c.key == "csrftoken")
        await _text(client.post(f"{base}/api/like", json={"note": int(note)}, headers={"X-CSRFToken": cookie}))


class Bearer(Application):
    """An API with OAuth2 logins: signed JWTs, refresh tokens that rotate, small integer ids, ETags, cursors."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.refresh_tokens: dict[str, str] = {}
        self.users: dict[str, int] = {}
        self.accounts: dict[str, str] = {}
        self.items: dict[int, dict[str, Any]] = {}
        self.orders: dict[str, int] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/token", self.login),
            web.post("/refresh", self.refresh),
            web.get("/users/me", self.me),
            web.get("/users/{id}/items", self.of_user),
            web.get("/accounts/{id}", self.account),
            web.post("/items", self.create),
            web.get("/items", self.page),
            web.get("/items/{id}", self.item),
            web.put("/items/{id}", self.update),
            web.delete("/items/{id}", self.delete),
            web.post("/orders", self.order),
            web.get("/orders/{code}", self.order_of),
        ]

    def jwt(self, name: str) -> str:
        claims: dict[str, Any] = {"sub": self.accounts[name], "name": name, "org": {"id": self.users[name]}}
        claims |= {"jti": self.uuid(), "exp": int(time.time()) + 3600}
        text = f"{b64(json.dumps({'alg': 'HS256', 'typ': 'JWT'}))}.{b64(json.dumps(claims))}"
        return f"{text}.{b64(hmac.new(self.key, text.encode(), hashlib.sha256).digest())}"

    def tokens(self, name: str) -> web.Response:
        refresh = self.token(40)
        self.refresh_tokens[refresh] = name
        answer = {"access_token": self.jwt(name), "refresh_token": refresh, "token_type": "bearer", "expires_in": 3600}
        return web.json_response(answer)

    def user(self, request: web.Request) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        text, _, signature = token.rpartition(".")
        if scheme != "Bearer" or signature != b64(hmac.new(self.key, text.encode(), hashlib.sha256).digest()):
            return None
        return str(json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "==="))["name"])

    async def login(self, request: web.Request) -> web.Response:
        form = await request.post()
        name = str(form["username"])
        self.users.setdefault(name, self.number())
        self.accounts.setdefault(name, self.uuid())
        return self.tokens(name)

    async def refresh(self, request: web.Request) -> web.Response:
        name = self.refresh_tokens.pop((await request.json())["refresh_token"], None)
        return self.refuse(request, "refresh token", 401) if name is None else self.tokens(name)

    async def me(self, request: web.Request) -> web.Response:
        name = self.user(request)
        if name is None:
            return self.refuse(request, "token", 401)
        return web.json_response({"name": name, "id": self.users[name], "quota": self.random.randrange(11, 90)})

    async def of_user(self, request: web.Request) -> web.Response:
        name = self.user(request)
        if name is None or request.match_info["id"] != str(self.users[name]):
            return self.refuse(request, "another user")
        return web.json_response([number for number, item in self.items.items() if item["owner"] == name])

    async def account(self, request: web.Request) -> web.Response:
        name = self.user(request)
        if name is None or request.match_info["id"] != self.accounts[name]:
            return self.refuse(request, "another account")
        return web.json_response({"plan": "free"})

    async def create(self, request: web.Request) -> web.Response:
        name, body = self.user(request), await request.json()
        if name is None or body["owner_id"] != self.users[name] or body["check"] != check(body["quantity"]):
            return self.refuse(request, f"not what the client chose: {body}", 422)
        number = self.number()
        self.items[number] = {"owner": name, "etag": f'"{self.token(12)}"', "name": body["name"]}
        return self.item_answer(request, number, 201)

    def item_answer(self, request: web.Request, number: int, status: int = 200) -> web.Response:
        item = self.items[number]
        return web.json_response(
            {"id": number, "name": item["name"], "stock": self.random.randrange(11, 90)},
            status=status,
            headers={
                "ETag": item["etag"],
                "Location": f"http://{request.host}/items/{number}",
                "X-Item-Id": str(number),
            },
        )

    def own(self, request: web.Request, number: str) -> int | None:
        name = self.user(request)
        found = int(number) if number.isdigit() and int(number) in self.items else None
        return found if found is not None and self.items[found]["owner"] == name else None

    async def item(self, request: web.Request) -> web.Response:
        number = self.own(request, request.match_info["id"])
        return self.refuse(request, "no such item", 404) if number is None else self.item_answer(request, number)

    async def update(self, request: web.Request) -> web.Response:
        number, body = self.own(request, request.match_info["id"]), await request.json()
        if number is None or body["id"] != number:
            return self.refuse(request, f"no such item: {body}", 404)
        if request.headers.get("If-Match") != self.items[number]["etag"]:
            return self.refuse(request, f"If-Match: {request.headers.get('If-Match')}", 412)
        if body["check"] != check(body["quantity"], body["limit"]):
            return self.refuse(request, f"not what the client chose: {body}", 422)
        self.items[number].update(name=body["name"], etag=f'"{self.token(12)}"')
        return self.item_answer(request, number)

    async def delete(self, request: web.Request) -> web.Response:
        number = self.own(request, request.match_info["id"])
        if number is None or request.headers.get("If-Match") != self.items[number]["etag"]:
            return self.refuse(request, "no such item or version", 404)
        del self.items[number]
        return web.Response(status=204)

    async def page(self, request: web.Request) -> web.Response:
        name, limit = self.user(request), int(request.query["limit"])
        if name is None or request.query["check"] != check(limit):
            return self.refuse(request, f"not what the client chose: {limit}", 422)
        after = 0
        if "cursor" in request.query:
            text, _, signature = request.query["cursor"].rpartition(".")
            if self.sign(text)[:16] != signature:
                return self.refuse(request, "cursor", 400)
            after = json.loads(base64.urlsafe_b64decode(text + "==="))["after"]
        numbers = sorted(number for number, item in self.items.items() if item["owner"] == name and number > after)
        text = b64(json.dumps({"after": (numbers or [after])[0], "nonce": self.token(8)}))
        cursor = f"{text}.{self.sign(text)[:16]}"
        link = f"http://{request.host}/items?limit={limit}&check={check(limit)}&cursor={cursor}"
        items = [{"id": number, "name": self.items[number]["name"]} for number in numbers[:1]]
        return web.json_response({"items": items, "next": link}, headers={"Link": f'<{link}>; rel="next"'})

    async def order(self, request: web.Request) -> web.Response:
        body = await request.json()
        lines = [self.own(request, str(line["item_id"])) for line in body["lines"]]
        if None in lines or body["check"] != check(*(line["quantity"] for line in body["lines"])):
            return self.refuse(request, f"not what the client chose: {body}", 422)
        code = f"ORD-{self.number()}-{self.token(4).upper()}"
        self.orders[code] = 1
        return web.json_response({"order": {"code": code, "total": 12}}, status=201)

    async def order_of(self, request: web.Request) -> web.Response:
        if self.user(request) is None or request.match_info["code"] not in self.orders:
            return self.refuse(request, "no such order", 404)
        return web.json_response({"state": "new"})

    @staticmethod
    async def visit(client: aiohttp.ClientSession, base: str, number: int) -> None:
        form = {"username": f"user{number}", "password": "correct horse battery", "grant_type": "password"}
        tokens = await _json(client.post(f"{base}/token", data=form))
        own = {"Authorization": f"Bearer {tokens['access_token']}"}
        me = await _json(client.get(f"{base}/users/me", headers=own))
        await _json(client.get(f"{base}/users/{me['id']}/items", headers=own))
        # The account's id stands nowhere but among the claims of the token.
        claims = json.loads(base64.urlsafe_b64decode(tokens["access_token"].split(".")[1] + "==="))
        await _json(client.get(f"{base}/accounts/{claims['sub']}", headers=own))
        ids = []
        for turn in range(2):
            tokens = await _json(client.post(f"{base}/refresh", json={"refresh_token": tokens["refresh_token"]}))
            own = {"Authorization": f"Bearer {tokens['access_token']}"}
            # Look-alike: the quantity happens to be the recorded quota.
            wanted = {
                "name": f"item {turn}", "owner_id": me["id"], "quantity": me["quota"], "check": check(me["quota"]),
            }  # fmt: skip
            async with client.post(f"{base}/items", json=wanted, headers=own) as answer:
                item, etag = await answer.json(), answer.headers["ETag"]
            ids.append(item["id"])
            async with client.get(f"{base}/items/{item['id']}", headers=own) as answer:
                etag = answer.headers["ETag"]
            # Look-alikes: the quantity happens to be the item's id, the limit its stock.
            change = {
                "id": item["id"], "name": "other", "quantity": item["id"], "limit": item["stock"],
                "check": check(item["id"], item["stock"]),
            }  # fmt: skip
            await _text(client.put(f"{base}/items/{item['id']}", json=change, headers={**own, "If-Match": etag}))
        page = await _json(client.get(f"{base}/items?limit={ids[0]}&check={check(ids[0])}", headers=own))
        await _json(client.get(page["next"], headers=own))
        lines = [{"item_id": each, "quantity": ids[0]} for each in ids]
        order = {"lines": lines, "check": check(*(ids[0] for _ in ids))}
        made = await _json(client.post(f"{base}/orders", json=order, headers=own))
        await _json(client.get(f"{base}/orders/{made['order']['code']}", headers=own))
        async with client.get(f"{base}/items/{ids[1]}", headers=own) as answer:
            etag = answer.headers["ETag"]
        async with client.delete(f"{base}/items/{ids[1]}", headers={**own, "If-Match": etag}) as answer:
            assert answer.status == 204


class Graph(Application):
    """GraphQL: ids that are base64 of a type and a number, in variables and inside the text of a query."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.keys: set[str] = set()
        self.boards: dict[str, list[str]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/graphql", self.graphql)]

    async def graphql(self, request: web.Request) -> web.Response:
        body = await request.json()
        text, variables = body["query"], body.get("variables", {})
        if "signIn" in text:
            key = self.token(30)
            self.keys.add(key)
            return web.json_response({"data": {"signIn": {"viewer": {"apiKey": key}}}})
        if request.headers.get("X-Api-Key") not in self.keys:
            return self.refuse(request, "key", 401)
        if "createBoard" in text:
            board = base64.b64encode(f"Board:{self.number()}".encode()).decode()
            self.boards[board] = []
            return web.json_response({"data": {"createBoard": {"board": {"id": board, "rank": self.number()}}}})
        if "addCard" in text:
            made = variables["input"]
            if made["boardId"] not in self.boards or made["check"] != check(made["position"]):
                return self.refuse(request, f"no such board, or not what the client chose: {made}", 422)
            card = base64.b64encode(f"Card:{self.number()}".encode()).decode()
            self.boards[made["boardId"]].append(card)
            return web.json_response({"data": {"addCard": {"card": {"id": card}}}})
        found = re.findall(r'\w+\(id: "([^"]+)"\)', text)
        known = {*self.boards, *(card for cards in self.boards.values() for card in cards)}
        if not found or not set(found) <= known:
            return self.refuse(request, f"no such node: {found}", 404)
        return web.json_response({"data": {"nodes": [{"id": each} for each in found]}})

    @staticmethod
    async def visit(client: aiohttp.ClientSession, base: str, number: int) -> None:
        async def ask(query: str, **variables: Any) -> Any:
            body = {"query": query, "variables": variables}
            return (await _json(client.post(f"{base}/graphql", json=body, headers=own)))["data"]

        own: dict[str, str] = {}
        signed = await ask("mutation($n: String!) { signIn(name: $n) { viewer { apiKey } } }", n=f"user{number}")
        own["X-Api-Key"] = signed["signIn"]["viewer"]["apiKey"]
        board = (await ask("mutation { createBoard { board { id rank } } }"))["createBoard"]["board"]
        wanted = {"boardId": board["id"], "position": board["rank"], "check": check(board["rank"])}
        query = "mutation($input: CardInput!) { addCard(input: $input) { card { id } } }"
        card = (await ask(query, input=wanted))["addCard"]["card"]["id"]
        await ask(f'{{ card(id: "{card}") {{ title }} board(id: "{board["id"]}") {{ cards {{ id }} }} }}')


class Files(Application):
    """Uploads: multipart, presigned addresses, UUIDs whose case changes, Basic from issued keys, values in others."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.keys: dict[str, str] = {}
        self.files: dict[str, dict[str, Any]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/keys", self.make_key),
            web.post("/files", self.upload),
            web.put("/storage/{id}", self.store),
            web.get("/files/{id}", self.show),
            web.post("/shares", self.share),
            web.get("/s/{slug}", self.shared),
            web.get("/search", self.search),
        ]

    def owner(self, request: web.Request) -> str | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        with contextlib.suppress(ValueError):
            key, _, secret = base64.b64decode(text).decode("latin-1").partition(":")
            if scheme == "Basic" and self.keys.get(key) == secret and secret:
                return key
        return None

    async def make_key(self, request: web.Request) -> web.Response:
        key, secret = self.token(16), self.token(32)
        self.keys[key] = secret
        return web.json_response({"key_id": key, "secret": secret, "account": {"id": self.uuid().upper()}})

    async def upload(self, request: web.Request) -> web.Response:
        owner, form = self.owner(request), await request.post()
        upload = form["file"]
        assert isinstance(upload, web.FileField)
        if owner is None or form["check"] != check(form["folder"]):
            return self.refuse(request, "key or folder", 401)
        number, continuation = self.uuid(), base64.b64encode(self.random.randbytes(24)).decode()
        self.files[number] = {"owner": owner, "continuation": continuation, "data": upload.file.read()}
        query = f"X-Expires=900&X-Signature={self.sign(number)}"
        address = f"http://{request.host}/storage/{number}?{query}"
        return web.json_response({"file": number.upper(), "put": address, "continue": continuation}, status=201)

    async def store(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        if number not in self.files or request.query.get("X-Signature") != self.sign(number):
            return self.refuse(request, "signature")
        data = await request.read()
        tag = hashlib.md5(data + self.key).hexdigest()
        self.files[number]["tag"] = tag
        return web.Response(status=200, headers={"ETag": f'"{tag}"', "X-Version-Id": self.token(20)})

    async def show(self, request: web.Request) -> web.Response:
        found = self.files.get(request.match_info["id"])
        if found is None or found["owner"] != self.owner(request):
            return self.refuse(request, "no such file", 404)
        if request.headers.get("X-Actor") != f"key:{found['owner']}":
            return self.refuse(request, f"actor: {request.headers.get('X-Actor')}", 403)
        return web.json_response({"id": request.match_info["id"], "size": len(found["data"])})

    async def share(self, request: web.Request) -> web.Response:
        body = await request.json()
        found = self.files.get(body["urn"].removeprefix("urn:uuid:"))
        if found is None or body["etag"] != found["tag"] or self.owner(request) != found["owner"]:
            return self.refuse(request, f"no such file: {body}", 404)
        found["slug"] = self.token(10).lower()
        return web.json_response({"slug": found["slug"]})

    async def shared(self, request: web.Request) -> web.Response:
        slug, _, kind = request.match_info["slug"].partition(".")
        if kind != "txt" or not any(found.get("slug") == slug for found in self.files.values()):
            return self.refuse(request, "no such share", 404)
        return web.Response(text="shared text")

    async def search(self, request: web.Request) -> web.Response:
        if not any(found["continuation"] == request.query["continue"] for found in self.files.values()):
            return self.refuse(request, f"continuation: {request.query['continue']}", 400)
        return web.json_response({"found": 0})

    @staticmethod
    async def visit(client: aiohttp.ClientSession, base: str, number: int) -> None:
        key = await _json(client.post(f"{base}/keys", json={"label": f"user{number}"}))
        basic = base64.b64encode(f"{key['key_id']}:{key['secret']}".encode()).decode()
        own = {"Authorization": f"Basic {basic}"}
        data = aiohttp.FormData({"folder": "inbox", "check": check("inbox")})
        data.add_field("file", f"text of {number}".encode(), filename="a.txt", content_type="text/plain")
        made = await _json(client.post(f"{base}/files", data=data, headers=own))
        file = made["file"].lower()
        async with client.put(made["put"], data=b"stored text") as answer:
            tag = answer.headers["ETag"].strip('"')
        await _json(client.get(f"{base}/files/{file}", headers={**own, "X-Actor": f"key:{key['key_id']}"}))
        wanted = {"urn": f"urn:uuid:{file}", "etag": tag}
        slug = (await _json(client.post(f"{base}/shares", json=wanted, headers=own)))["slug"]
        await _text(client.get(f"{base}/s/{slug}.txt"))
        await _json(client.get(f"{base}/search", params={"continue": made["continue"], "size": "20"}))


async def _text(call: Any) -> str:
    async with call as answer:
        assert answer.status < 400, (answer.method, answer.url, answer.status, await answer.text())
        text: str = await answer.text()
        return text


async def _json(call: Any) -> Any:
    return json.loads(await _text(call))


APPLICATIONS: dict[str, type[Application]] = {"pages": Pages, "bearer": Bearer, "graph": Graph, "files": Files}


@contextlib.asynccontextmanager
async def served(application: Application) -> AsyncIterator[str]:
    """The base URL of the application while the block runs."""
    runner = web.AppRunner(application.web_application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
