"""A Django site that keeps its own upload view, with the example's template: started with the folder of the built
widget and one for what is uploaded, prints its port. Must never know what is tested.
"""

import pathlib
import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.static import serve

widget, uploaded = sys.argv[1:]
template = pathlib.Path(__file__).parents[2] / 'public/examples/django.txt'

settings.configure(
    ALLOWED_HOSTS=['127.0.0.1'],
    ROOT_URLCONF=__name__,
    SECRET_KEY='of a test',
    STATIC_URL='/static/',
    INSTALLED_APPS=['django.contrib.auth', 'django.contrib.contenttypes', 'django.contrib.staticfiles'],
    MIDDLEWARE=['django.middleware.csrf.CsrfViewMiddleware'],
    TEMPLATES=[{'BACKEND': 'django.template.backends.django.DjangoTemplates', 'DIRS': [template.parent]}],
)
django.setup()

# It has models, which are there only now.
from django.contrib.auth.views import redirect_to_login  # noqa: E402


def photos(request):
    if request.COOKIES.get('session') == 'over':
        return redirect_to_login(request.get_full_path(), '/login/')
    if request.method == 'POST':
        photo = request.FILES['photo']
        with open(pathlib.Path(uploaded, photo.name), 'wb') as file:
            for chunk in photo.chunks():
                file.write(chunk)
        return redirect('photos')
    return render(request, template.name)


def login(request):
    return HttpResponse('<!doctype html><title>Sign in</title><form method="post"><input type="password" name="password"></form>')


urlpatterns = [
    path('photos/', photos, name='photos'),
    path('login/', login),
    # Browsers ask for it by themselves.
    path('favicon.ico', lambda _: HttpResponse(status=204)),
    path('static/plimsoll/<path:path>', serve, {'document_root': widget}),
]


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


server = make_server('127.0.0.1', 0, get_wsgi_application(), Server, Quiet)
print(server.server_port, flush=True)
server.serve_forever()
