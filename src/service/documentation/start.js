// Swagger UI on the document of this service; nothing is loaded from elsewhere.

SwaggerUIBundle({
  url: '../openapi.json',
  dom_id: '#calls',
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
