/**
 * Preloaded to keep a server that binds every interface, without a setting for it, on 127.0.0.1.
 */
'use strict';

const { Server } = require('node:net');

const { listen } = Server.prototype;
Server.prototype.listen = function (port, ...rest) {
    return listen.call(this, { port: Number(port), host: '127.0.0.1' }, ...rest);
};
