"""The page as an ASGI application."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import AsyncIterator
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from nas.errors import NasError, NoSuchJob
from nas.web.access import HEADERS, Access, refuse
from nas.web.answers import Answers
from nas.web.errors import BodyTooLarge, answer_error
from workers.http_shield import Shield

__all__ = ["page_application"]

STATIC = Path(str(files("nas.web") / "static"))
VIEWS = ("/", "/new", "/devices", "/across")


def page_application(access: Access) -> Starlette:
    """Everything that the page's server answers."""
    answers = Answers(access)

    async def view(request: Request) -> Response:
        return _page()

    async def job_view(request: Request) -> Response:
        """One that is about a job: what there is not is a page that says so."""
        try:
            service = access.service(request)
            await answers.quickly(service.job, request.path_params["job"])
        except NoSuchJob:
            return _page(404)
        except NasError:
            pass  # the page asks again, and shows why
        return _page()

    async def not_found(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code != 404:
            return Response(error.detail, error.status_code)
        return _page(404)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        answers.close()
        access.close()

    api = [
        Route("/session", answers.session),
        Route("/login", answers.log_in, methods=["POST"]),
        Route("/logout", answers.log_out, methods=["POST"]),
        Route("/jobs", answers.jobs),
        Route("/jobs", answers.submit, methods=["POST"]),
        Route("/stream", answers.stream),
        Route("/catalogue", answers.catalogue),
        Route("/devices", answers.devices),
        Route("/drift", answers.drift),
        Route("/across", answers.across),
        Route("/jobs/{job}", answers.job),
        Route("/jobs/{job}/events", answers.events),
        Route("/jobs/{job}/front", answers.front),
        Route("/jobs/{job}/front.csv", answers.table),
        Route("/jobs/{job}/front.json", answers.document),
        Route("/jobs/{job}/cloud", answers.cloud),
        Route("/jobs/{job}/profile", answers.profile),
        Route("/jobs/{job}/explanation", answers.explanation),
        Route("/jobs/{job}/points/{digest}", answers.point),
        Route("/jobs/{job}/points/{digest}/extract", answers.extract, methods=["POST"]),
        *(
            Route(f"/jobs/{{job}}/{verb}", answers.change, methods=["POST"], name=verb)
            for verb in ("resume", "interrupt", "cancel")
        ),
    ]
    return Starlette(
        routes=[
            *(Route(path, view) for path in VIEWS),
            Route("/jobs/{job}", job_view),
            Route("/jobs/{job}/points/{digest}", job_view),
            Route("/static/plotly.min.js", _plotly),
            Mount("/static", StaticFiles(directory=STATIC)),
            Mount("/api", routes=api),
        ],
        middleware=[
            Middleware(Shield, headers=HEADERS, refuse=partial(refuse, loopback_only=not access.login))
        ],
        exception_handlers={
            404: not_found,
            NasError: answer_error,
            BodyTooLarge: answer_error,
            Exception: answer_error,
        },
        lifespan=lifespan,
    )


def _page(status: int = 200) -> Response:
    return FileResponse(STATIC / "index.html", status, {"cache-control": "no-cache"})


async def _plotly(request: Request) -> Response:
    """Its script, out of the Python package."""
    headers = {"cache-control": "max-age=86400", "vary": "accept-encoding"}
    path = Path(str(files("plotly") / "package_data" / "plotly.min.js"))
    near = request.client is not None and request.client.host in ("127.0.0.1", "::1")
    if near or "gzip" not in request.headers.get("accept-encoding", ""):
        return FileResponse(path, media_type="text/javascript", headers=headers)
    return Response(
        _compressed(path), media_type="text/javascript", headers={**headers, "content-encoding": "gzip"}
    )


@cache
def _compressed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), 6)
